"""Inside a cell: what it confuses and how well it does by class; of prompts also words, descriptions, where they look.

- `inspect`: the command. `measurements`: everything measured, before it is shown.
- `prompt_measurements`: what only learned prompts have.
- `cell_tables`, `drawing`: the measurements in words and in pictures.

May use `ledger` to find the cell, and `core` to measure.
"""
