"""Methods as rows, datasets and their average as columns: values, and differences to a method."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from dualpt.core.results import TEST_ACCURACY
from dualpt.sweeps.comparison.frames import untrained_methods
from dualpt.sweeps.comparison.labels import AVERAGE, method_title
from dualpt.sweeps.comparison.tables.table import (
    ComparisonTable,
    Entry,
    known_entry,
    shots_text,
    whole_entry,
    without_spread,
)
from dualpt.sweeps.comparison.values import (
    Array,
    Grid,
    check_finished,
    method_values,
    one_draw_for_all_seeds,
    seed_averages,
)


def comparison(cells: pd.DataFrame, grid: Grid, *, shots: int, metric: str = TEST_ACCURACY) -> ComparisonTable:
    """Build the table of one metric at one number of shots.

    Zero-shot methods draw no sample: their single result stands at every number of shots. The average of the harmonic
    mean is, per seed, the harmonic mean of the averaged base and new accuracies, as the field reports it.

    Raises:
        UserError: no finished cell has the metric, or none at these shots.
    """
    check_finished(cells, shots, metric)
    values = method_values(cells, grid, shots=shots, metric=metric)
    one_draw = _with_averages(one_draw_for_all_seeds(cells, shots=shots), tuple(values), grid)
    return ComparisonTable(
        title=f"{metric} at {shots_text(shots)}",
        metric=metric,
        methods=tuple(values),
        columns=(*grid.datasets, AVERAGE),
        entries=without_spread(
            _entries(grid, values, seed_averages(cells, grid, shots=shots, metric=metric)), one_draw
        ),
        missing={method: int(np.isnan(own).sum()) for method, own in values.items()},
        untrained=untrained_methods(cells),
        shots=shots,
        one_draw=one_draw,
        seeds=grid.seeds,
    )


def differences(
    cells: pd.DataFrame, grid: Grid, baseline: str, *, shots: int, metric: str = TEST_ACCURACY
) -> ComparisonTable:
    """The table of `comparison` as differences to a method, paired by dataset and seed.

    A method that draws no sample is paired with every seed of the other.

    Raises:
        UserError: as `comparison`.
    """
    table = comparison(cells, grid, shots=shots, metric=metric)
    values = method_values(cells, grid, shots=shots, metric=metric)
    averages = seed_averages(cells, grid, shots=shots, metric=metric)
    methods = tuple(method for method in table.methods if method != baseline)
    entries = _entries(
        grid,
        {method: values[method] - values[baseline] for method in methods},
        {method: averages[method] - averages[baseline] for method in methods},
    )
    one_draw = frozenset(
        (method, column)
        for method, column in table.one_draw
        if method != baseline and ((baseline, column) in table.one_draw or baseline in table.untrained)
    )
    return replace(
        table,
        title=f"{table.title}: difference to {method_title(baseline)}",
        methods=methods,
        entries=without_spread(entries, one_draw),
        missing={method: table.missing[method] for method in (*methods, baseline)},
        one_draw=one_draw,
        baseline=baseline,
    )


def _entries(
    grid: Grid, values: Mapping[str, Array], averages: Mapping[str, Array]
) -> dict[tuple[str, str], Entry | None]:
    """Of values by method (S, D) and averages by method (S,): an entry per dataset, and the average's."""
    entries: dict[tuple[str, str], Entry | None] = {}
    for method, own in values.items():
        for dataset, column in zip(grid.datasets, own.T, strict=True):
            entries[method, dataset] = known_entry(column)
        entries[method, AVERAGE] = whole_entry(averages[method])
    return entries


def _with_averages(
    one_draw: frozenset[tuple[str, str]], methods: tuple[str, ...], grid: Grid
) -> frozenset[tuple[str, str]]:
    """With the average of each method that has one draw on every dataset."""
    own = {method for method in methods if all((method, dataset) in one_draw for dataset in grid.datasets)}
    shown = {(method, dataset) for method, dataset in one_draw if dataset in grid.datasets}
    return frozenset(shown | {(method, AVERAGE) for method in own})
