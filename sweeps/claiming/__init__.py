"""`dualpt claim`: what a finished sweep claims, on one page that a reviewer can check.

- `claim`: from the ledger to a claim. `evidence`: what it stands on. `page`: both as Markdown.
- `commands`: the command lines that compute its numbers again.

May use `comparison`, `planning` and `ledger`; trains nothing.
"""
