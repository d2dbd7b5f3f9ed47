"""The figures of `dualpt figure`, each a function from a selection of cells to a Matplotlib figure.

- `curves`, `methods`, `training`: methods over shots, against each other, and over epochs.
- `search`: candidates and parameters. `style`: colours, markers and saving, for all of them.
"""
