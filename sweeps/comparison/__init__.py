"""Tables, statistics and figures of recorded cells.

- `compare`, `draw`: the commands. `frames`, `candidate_frame`: cells and candidates as data frames.
- `selection`: the cells that a comparison is over.
- `tables`: methods by datasets, shots or halves. `values`, `labels`: what stands in them, and what it is called.
- `published`: rows from papers. `imported`: rows of other tools.
- `claims`, `statistics`: what the cells support against a baseline. `effects`: of an ablation's factors.
- `searched`: corrections of those claims for the search behind a selected setting.
- `selection_basis`, `plan_remarks`: what a best candidate rests on, and plans that did not converge.
- `plain`: a table as rows of text, which `formats` writes. `figures`: the pictures.

May use `ledger`, `planning` and `search` (importances); trains nothing.
"""
