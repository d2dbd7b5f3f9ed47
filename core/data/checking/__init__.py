"""Whether a dataset can be used, and what a reader of its results must know.

- `examination`: everything wrong with a dataset on disk. `image_faults`: images that can't be used unchanged.
- `diagnosis`: why a data root doesn't work, and what to do. `linked_sources`: what became of folders that it links to.
- `duplicates`: the same image twice. `validation`: whether a draw's validation images can select.
- `contact_sheet`: a few images of each class at a glance.
"""
