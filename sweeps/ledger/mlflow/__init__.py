"""MLflow as the ledger: runs of sweeps, trials and cells. With `dualpt.sweeps.moving`, all that speaks to MLflow."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow would repeat a single request, though the server may have carried it out; here whole methods are repeated.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from dualpt.sweeps.ledger.mlflow.cells import Delivery
from dualpt.sweeps.ledger.mlflow.ledger import Ledger

__all__ = ["Delivery", "Ledger"]
