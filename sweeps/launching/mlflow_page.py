"""MLflow's page of a sweep: made to open on its trials, and said where it is."""

import shlex
from typing import TYPE_CHECKING

from rich.markup import escape

from dualpt.core.data.catalog import expand_datasets
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.comparison.compare import own_metric
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.ledger.trials_page import experiment_tags, page_on_server, trials_page
from dualpt.sweeps.stores import masked

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.mlflow import Ledger

LOCAL = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves by default."""


def show_trials_first(sweep: LoadedSweep, ledger: "Ledger", experiment: str, shown: SweepProgress) -> None:
    """Tag the sweep's experiment for MLflow's page, and say its address."""
    grid = sweep.file.grid
    datasets = expand_datasets(grid.datasets, sweep.reference.data.folder)
    ledger.tag_experiment(experiment, experiment_tags(datasets, own_metric(grid.protocol)))
    page, served = page_of(sweep.file.run.tracking_uri, experiment)
    shown.note(escape(f"  in MLflow{f', while `{served}` runs' if served else ''}:"))
    shown.note(escape(f"  {page}"))  # a line of its own, so that few terminals break it


def page_of(store: str, experiment: str) -> tuple[str, str]:
    """The address of the sweep's trials, and for a store that is no server the command that serves it."""
    if (page := page_on_server(store, experiment)) is not None:
        return page, ""
    return trials_page(LOCAL, experiment), f"mlflow ui --backend-store-uri {shlex.quote(masked(store))}"
