"""`dualpt claim`: what a finished sweep claims, on one page that a reviewer can check.

- `claim`: from the ledger to a claim with everything it stands on. `page`: the same as Markdown.
- `commands`: the command lines that compute its numbers again.

May use `comparison`, `planning` and `ledger`; trains nothing.
"""
