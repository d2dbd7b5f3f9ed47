"""Methods as rows, averages over datasets as columns: by number of shots, and the halves of base-to-new."""

from collections.abc import Mapping

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY
from dualpt.sweeps.comparison.frames import finished_shots, untrained_methods
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.comparison.tables.table import ComparisonTable, shots_text, whole_entry, without_spread
from dualpt.sweeps.comparison.values import Grid, method_values
from dualpt.sweeps.console import counted

HALVES = (BASE_ACCURACY, NEW_ACCURACY, HARMONIC_MEAN)
"""Metrics of base-to-new, in the field's order."""
MEAN_OF_H = "mean of H"
"""The average of the datasets' harmonic means, which some report in place of H of the averages."""


def by_shots(cells: pd.DataFrame, grid: Grid, *, metric: str = TEST_ACCURACY) -> ComparisonTable:
    """Averages over datasets, one column for each number of shots that has results.

    Raises:
        UserError: no trained method has a finished cell with the metric.
    """
    shots = finished_shots(cells, metric)
    if not shots:
        raise UserError(f"no trained method has a finished {metric}")
    tables = {k: comparison(cells, grid, shots=k, metric=metric) for k in shots}
    methods, untrained = tables[shots[0]].methods, untrained_methods(cells)
    heads = {str(k): shots_text(k) for k in shots}
    return ComparisonTable(
        title=f"{metric} by shots",
        metric=metric,
        methods=methods,
        columns=tuple(heads),
        entries={(m, str(k)): table.entries[m, AVERAGE] for k, table in tables.items() for m in methods},
        missing={m: _distinct_missing(tables, m, m in untrained) for m in methods},
        untrained=untrained,
        heads=heads,
        remarks=(f"averages over {counted(len(grid.datasets), 'dataset')}",),
        seeds=grid.seeds,
        one_draw=frozenset(
            (m, str(k)) for k, table in tables.items() for m in methods if (m, AVERAGE) in table.one_draw
        ),
    )


def base_to_new(cells: pd.DataFrame, grid: Grid, *, shots: int) -> ComparisonTable:
    """Averages over datasets of base, new and H, and the average of the datasets' H, both labelled.

    Raises:
        UserError: no finished cell has one of the metrics at these shots.
    """
    tables = {metric: comparison(cells, grid, shots=shots, metric=metric) for metric in HALVES}
    methods = tables[HARMONIC_MEAN].methods
    entries = {
        (method, metric): table.entries[method, AVERAGE] for metric, table in tables.items() for method in methods
    }
    for method, values in method_values(cells, grid, shots=shots, metric=HARMONIC_MEAN).items():
        entries[method, MEAN_OF_H] = whole_entry(values.mean(axis=1))
    heads = {BASE_ACCURACY: "base", NEW_ACCURACY: "new", HARMONIC_MEAN: "H", MEAN_OF_H: MEAN_OF_H}
    whole = {method for method in methods if (method, AVERAGE) in tables[HARMONIC_MEAN].one_draw}
    one_draw = frozenset((method, column) for method in whole for column in heads)
    return ComparisonTable(
        title=f"base-to-new at {shots_text(shots)}",
        metric=HARMONIC_MEAN,
        methods=methods,
        columns=tuple(heads),
        entries=without_spread(entries, one_draw),
        missing={method: max(table.missing[method] for table in tables.values()) for method in methods},
        untrained=untrained_methods(cells),
        heads=heads,
        remarks=(
            f"averages over {counted(len(grid.datasets), 'dataset')}",
            "H: per seed, of the averaged base and new accuracies, as the field reports it; "
            "mean of H: the average of the datasets' own",
        ),
        shots=shots,
        seeds=grid.seeds,
        one_draw=one_draw,
    )


def _distinct_missing(tables: Mapping[int, ComparisonTable], method: str, untrained: bool) -> int:
    """Missing cells over numbers of shots; the single cell of an untrained method stands in each of them."""
    counts = [table.missing[method] for table in tables.values()]
    return max(counts) if untrained else sum(counts)
