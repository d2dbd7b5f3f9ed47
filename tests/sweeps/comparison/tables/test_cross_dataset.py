"""Trained on one dataset, tested on others."""

import pandas as pd

from dualpt.sweeps.comparison.tables.cross_dataset import cross_dataset
from tests.sweeps.comparison.tables.recorded import SEEDS, cell


def test_cross_dataset_has_the_source_every_target_and_their_average() -> None:
    rows = []
    for seed in SEEDS:
        targets = {"mini-cars": 40.0 + seed, "mini-dishes": 60.0, "mean": 50 + seed / 2}
        metrics = {f"target/{name}/accuracy": value for name, value in targets.items()}
        rows.append(cell("coop", "mini-pets", seed, 80.0, protocol="cross-dataset", **metrics))
    table = cross_dataset(pd.DataFrame(rows), source="mini-pets", shots=16, seeds=SEEDS)
    heads = [table.head(column) for column in table.columns]
    assert heads == ["mini-pets (source)", "mini-cars", "mini-dishes", "Average of targets"]
    assert [table.text("coop", c) for c in table.columns] == ["80.0 ± 0.0", "42.0 ± 1.0", "60.0 ± 0.0", "51.0 ± 0.5"]
