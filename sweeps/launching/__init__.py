"""A launch from the command to its outcome.

- `launch`: plans a sweep, sees what is left, and runs a driver; `driver`: trains through outages, budget and signals
- `before_training`: stores and inputs examined, features computed; `declaring`: study and ledger opened
- `steered`: what users ask of a running launch, carried out
- `earlier_launches`: what the stores hold before; `again`: a launch from the store alone
- `outcome`: what came of it, in closing lines; `ending`: exit codes; `notify`: the user's command that hears of it
- `preview`: `--dry-run` and `--simulate`; `status`, `status_workers`: `dualpt status`; `demo`: `dualpt demo`
- `mlflow_page`: a sweep's page in MLflow, opened on its trials

May use every room but `cluster`, `ablation` and the command line. Ray, MLflow, Optuna and torch are loaded late, so
previews and refusals are quick.
"""
