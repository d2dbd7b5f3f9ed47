"""A sweep from one tracking store to another, as one file and without a server.

- `move`: `dualpt export` and `import`. `archive`: the file, written completely or not at all.
- `runs`: runs between MLflow and the archive; with `ledger.mlflow`, all that speaks to MLflow.
"""
