"""A sweep from one tracking store to another, as one file and without a server.

- `move`: `dualpt export` and `import`. `archive`: the file, written completely or not at all.
- `checks`: whether every run of an archive can be recorded and read back. `file_checks`: whether its files hold what
  their names say.
- `runs`: runs between MLflow and the archive; with `ledger.mlflow`, all that speaks to MLflow.
"""
