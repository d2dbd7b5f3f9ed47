"""Methods as rows, what they were trained on and every other dataset as columns."""

import numpy as np
import pandas as pd

from dualpt.core.results import TARGET_MEAN, TEST_ACCURACY
from dualpt.sweeps.comparison.frames import untrained_methods
from dualpt.sweeps.comparison.labels import column_title, ordered_methods
from dualpt.sweeps.comparison.tables.table import ComparisonTable, known_entry, shots_text, whole_entry
from dualpt.sweeps.comparison.values import Grid, check_finished, method_values


def cross_dataset(cells: pd.DataFrame, *, source: str, shots: int, seeds: tuple[int, ...]) -> ComparisonTable:
    """Trained on a source dataset: its own accuracy, that of every target, and the targets' average.

    Raises:
        UserError: no finished cell of the source at these shots.
    """
    own = cells[cells["dataset"] == source]
    check_finished(own, shots, TEST_ACCURACY)
    metrics = {TEST_ACCURACY: source} | {column: column.split("/")[1] for column in target_metrics(own)}
    methods = ordered_methods(own["trial"])
    entries, missing = {}, dict.fromkeys(methods, 0)
    for metric in (*metrics, TARGET_MEAN):
        for method, values in method_values(own, Grid((source,), seeds), shots=shots, metric=metric).items():
            entries[method, metric] = whole_entry(values[:, 0]) if metric == TARGET_MEAN else known_entry(values[:, 0])
            missing[method] = max(missing[method], int(np.isnan(values).sum()))
    heads = {metric: column_title(name) for metric, name in metrics.items()}
    heads = {**heads, TEST_ACCURACY: f"{heads[TEST_ACCURACY]} (source)", TARGET_MEAN: "Average of targets"}
    title = f"trained on {column_title(source)} at {shots_text(shots)}"
    untrained = untrained_methods(own)
    return ComparisonTable(
        title, TARGET_MEAN, methods, tuple(heads), entries, missing, untrained, heads, shots=shots, seeds=seeds
    )


def target_metrics(cells: pd.DataFrame) -> list[str]:
    """The columns `target/<dataset>/accuracy` that hold a number, without their mean."""
    named = [
        str(c) for c in cells if str(c).startswith("target/") and str(c).endswith("/accuracy") and c != TARGET_MEAN
    ]
    return [column for column in named if cells[column].notna().any()]
