"""Tables, statistics and figures of recorded cells.

- `compare`, `draw`: the commands. `frames`: cells as a data frame. `selection`: the cells that a comparison is over.
- `tables`, `values`, `labels`: methods by datasets. `published`: rows from papers.
- `claims`, `statistics`: what the cells support against a baseline. `effects`: of an ablation's factors.
- `documents`, `latex`, `plain`, `terminal`: the forms in which a table is written. `figures`: the pictures.

May use `ledger`, `planning` and `search` (importances); trains nothing.
"""
