"""MLflow's page of a sweep: an address that opens on its trials, and the state that its columns come from.

MLflow loads a hundred runs, the latest first, and these are cells. Its page reads the mode from the address, and
columns, filter and order from a state that was shared under a key, a tag of the experiment (MLflow 3.17).
"""

import json
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from dualpt.sweeps.records import LEVEL_TAG, SELECTION

KEY = "dualpt"
"""Of the shared state."""
SHARED_TAG = f"mlflow.sharedViewState.{KEY}"
KIND_TAG, MODELS = "mlflow.experimentKind", "custom_model_development"
"""Without it MLflow's page is that of a generative application, whose first page is of traces."""
FILTER = f"tags.`{LEVEL_TAG}` = 'trial'"
ORDER = f"metrics.`grid/mean/{SELECTION}`"
MODE = {"workflowType": "machine_learning"}


def experiment_tags(datasets: Sequence[str], metric: str) -> dict[str, str]:
    """What a sweep's experiment is tagged with.

    Args:
        datasets: of its grid: a column each, behind their mean and the validation accuracy that candidates have.
        metric: that its protocol is judged by.
    """
    columns = [ORDER, *(f"metrics.`grid/{place}/{metric}`" for place in ("mean", *datasets))]
    state = {
        "searchFilter": FILTER,
        "orderByKey": ORDER,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
    }
    return {KIND_TAG: MODELS, SHARED_TAG: json.dumps(state)}


def trials_page(server: str, experiment_id: str) -> str:
    """The address at which a server shows the trials of a sweep that was launched with these tags."""
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{urlencode({**MODE, 'viewStateShareKey': KEY})}"


def page_on_server(store: str, experiment_id: str) -> str | None:
    """The same on the server that a store is, without its user and password; None where it is none."""
    parts = urlsplit(store)
    if parts.scheme not in ("http", "https"):
        return None
    return trials_page(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", experiment_id)
