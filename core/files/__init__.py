"""How files are read and written, whatever is in them: complete or not at all, and with one line for what is odd.

- `locations`: the cache folder, and writing a file in one step
- `half_written`: what a file is called until it is whole, and whether whoever writes it is gone
- `regular`: what is not a regular file, or has no content yet, is refused before it is opened
- `inside`: whether a path that a file brings along stays inside its folder
- `fingerprint`: SHA-256 of values and of files; `many_objects`: reading hundreds of thousands of entries
- `json_reader`, `yaml_reader`: documents that others wrote, unambiguous or refused
- `tensor_file`: tensors with a checksum over their content
- `tensor_values`: whether tensors hold numbers that a model can use; only these two load torch

It knows nothing of models, datasets or cells, and may import `errors` alone.
"""
