"""Inside a cell's learned prompts: nearest words, descriptions, where each prompt looks, what is confused.

- `inspect`: the command. `measurements`: everything measured, before it is shown.
- `cell_tables`, `drawing`: the measurements in words and in pictures.

May use `ledger` to find the cell, and `core` to measure.
"""
