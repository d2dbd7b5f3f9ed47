"""MLflow as the ledger: runs of sweeps, trials and cells. Nothing else speaks to MLflow but `dualpt.sweeps.moving`.

- `ledger`: `Ledger`, what a process opens; runs of sweeps. `trials`: runs of trials, with the means over their cells.
- `run_marks`: what users ask of a launch, and note. `upkeep`: sweeps renamed and deleted.
- `launches`: how sweeps were launched, on their runs. `namesakes`: trials whose name another setting takes over.
- `cells`: runs of cells, each written once whoever writes it, its numbers apart from its files.
- `client`: MLflow's client, which tries again where that helps.
- `artifact_places`: where a run's artifacts lie, also of a store that was copied or moved.
- `errors`: MLflow's errors in one line each, by what to do about them.
- `database`: the tables of a store that is a database: made, migrated, or refused.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow would repeat a single request, though the server may have carried it out; here whole methods are repeated.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from dualpt.sweeps.ledger.mlflow.cells import Delivery
from dualpt.sweeps.ledger.mlflow.ledger import Ledger

__all__ = ["Delivery", "Ledger"]
