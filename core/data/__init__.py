"""Datasets on disk: where they are, how they are divided, and what a few-shot draw takes. Loads no torch but to decode.

- `catalog`, `own_datasets`: the datasets by name, the built-in ones and those of a `datasets.yaml`.
- `readers`: a dataset's split by its layout, from `split_file`, `table_file`, `class_folders` and `own_folders`;
  `splits` checks it.
- `sampling`, `protocols`: the few-shot draw, and what each protocol trains and tests on.
- `draws`: draws of unbalanced classes, and as others write them.
- `images`, `digests`: decoding, and fingerprints of image files. `text_files`: text, or one line that says why not.
- `preparing`: a data root filled from folders and archives that people have.
- `imported_split`: labels, class names and draws of features that were computed elsewhere.
- `checking`: faults of splits and images.

May use `mini`, `config` and `files`.
"""
