"""The field's twelve-panel figure: a metric against shots, the average first, then every dataset."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.figures.style import (
    COLOURS,
    DASHES,
    axis_label,
    leading,
    legend_below,
    legend_name,
    line_style,
    panels,
)
from dualpt.sweeps.comparison.frames import finished_shots
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.tables import ComparisonTable, Entry, comparison
from dualpt.sweeps.comparison.values import Grid
from dualpt.sweeps.names import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def few_shot_curves(cells: pd.DataFrame, grid: Grid, *, metric: str) -> "Figure":
    """Draw a metric against the shots that have results.

    Bars span one standard deviation over seeds. Zero-shot methods are level lines, since they see no sample.

    Raises:
        UserError: no finished cell of a trained method.
    """
    shots = finished_shots(cells, metric)
    if not shots:
        raise UserError(f"no trained method has a finished {metric}, and zero-shot ones have no curve")
    tables = {k: comparison(cells, grid, shots=k, metric=metric) for k in shots}
    shown = (AVERAGE, *grid.datasets)
    figure, axes = panels(len(shown))
    last = tables[shots[-1]]
    methods = leading(last.means(AVERAGE), lower_is_better=last.measure.lower_is_better)
    for axis, column in zip(axes, shown, strict=True):
        _panel(axis, tables, column, methods)
    for axis in axes[-4:]:
        axis.set_xlabel("shots per class")
    figure.supylabel(axis_label(metric))
    legend_below(figure, axes, len(last.methods))
    return figure


def _panel(axis: "Axes", tables: dict[int, ComparisonTable], column: str, methods: Sequence[str]) -> None:
    """One column of the tables, which are given by their shots in rising order."""
    last = tables[max(tables)]
    for index, method in enumerate(methods):
        points = {k: entry for k, table in tables.items() if (entry := table.entries[method, column]) is not None}
        if points and method in last.untrained:
            _level(axis, index, method, next(iter(points.values())).mean)
        elif points:
            _curve(axis, index, method, points)
    axis.set_title(figure_text(last.head(column)), fontweight="bold" if column == AVERAGE else "normal")
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(tables), [str(k) for k in tables])
    axis.minorticks_off()
    axis.grid(alpha=0.3)


def _level(axis: "Axes", index: int, method: str, mean: float) -> None:
    """One result that stands at every number of shots."""
    colour, dashes = COLOURS[index % len(COLOURS)], DASHES[2 + index % 2]
    axis.axhline(mean, color=colour, linestyle=dashes, linewidth=1.2, label=legend_name(method))


def _curve(axis: "Axes", index: int, method: str, points: dict[int, Entry]) -> None:
    axis.errorbar(
        list(points),
        [entry.mean for entry in points.values()],
        yerr=[entry.spread or 0.0 for entry in points.values()],
        capsize=2,
        label=legend_name(method),
        **line_style(index, method),
    )
