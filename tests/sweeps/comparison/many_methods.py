"""A sweep of every method, as tables and figures are given it."""

import pandas as pd

from dualpt.core.presets import METHODS
from dualpt.core.results import TEST_ACCURACY

DATASETS = ("mini-pets", "mini-cars")


def many_methods(*more: str) -> pd.DataFrame:
    """Every published method and some more, at 1 and 4 shots on two datasets with two seeds."""
    return pd.DataFrame(
        [
            {"sweep": "s", "trial": trial, "kind": "baseline", "dataset": dataset, "protocol": "few-shot"}
            | {"shots": shots, "seed": seed, "status": "FINISHED", "run_id": "r", "reused_from": None}
            | {"key": repr((trial, dataset, shots, seed)), TEST_ACCURACY: 50.0 + number + shots + seed / 2}
            for number, trial in enumerate((*METHODS, *more))
            for dataset in DATASETS
            for shots, seed in (((0, 0),) if trial.startswith("zero-shot") else ((1, 1), (1, 2), (4, 1), (4, 2)))
        ]
    )
