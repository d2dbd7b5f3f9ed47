"""`dualpt describe`: banks of class descriptions written, imported and judged.

- `generating`, `importing`, `checking`: the three commands. `places`: where banks and class names are.
"""
