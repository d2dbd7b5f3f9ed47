"""Ablations: declared variants and their reference, run as a sweep and compared with it by statistics.

- `run`: launches what is missing and shows the tables.
- `ablation_tables`: the tables, the statistics against the reference, the effects of factors.

May use `launching`, `comparison` and `planning`; the file itself is read in `search_spaces.ablation`.
"""
