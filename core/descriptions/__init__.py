"""Banks of class descriptions: their format, and how they are written by a language model, imported and judged.

- `bank`: this project's format; `reading`: a bank aligned with a dataset's labels, and encoded
- `classes`, `names`: the classes that a bank is for, and when two spellings name one class
- `writing`: banks by a language model; `importing`: banks by other authors
- `quality`, `judging`: what the text says about a bank, and what a frozen CLIP makes of it

Reading a bank loads no torch. It may import `clip`, `data`, `mini`, `config`, `files` and `errors`.
"""
