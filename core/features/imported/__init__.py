"""Features that somebody else computed: read from their caches, checked, and kept as one file per dataset.

- `cached_files`: arrays in torch, NumPy and safetensors files; no code in them runs.
- `cache_layouts`: which of them are whose features and labels, by the names that published scripts give them.
- `cache_checks`: numbers and labels that cannot be right, or aren't the dataset's.
- `fewshot_pickles`: the draws in Dassl's `split_fewshot` files, read without running them.
- `import_parts`: rows, labels and crops of each part, checked; what the user declares of them.
- `make_import`: from a folder of cached features to one file.
- `import_text`: text features of class names, where none came with the images'.
- `import_rows`: the features of a cell's images in such a file.
"""
