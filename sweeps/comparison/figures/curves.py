"""The field's twelve-panel figure: a metric against shots, the average first, then every dataset."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.figures.style import (
    COLOURS,
    DASHES,
    MOST_METHODS,
    axis_label,
    leading,
    legend_below,
    legend_name,
    line_style,
    panels,
)
from dualpt.sweeps.comparison.frames import finished_shots
from dualpt.sweeps.comparison.imported.import_beside import NOTHING_IMPORTED, Imported, with_imported
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.comparison.tables.table import ComparisonTable, Entry
from dualpt.sweeps.comparison.values import Grid
from dualpt.sweeps.names import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BEST_OF_GROUP = 2
"""Methods of each group that a dataset's panel shows, where methods are many."""


def few_shot_curves(cells: pd.DataFrame, grid: Grid, *, metric: str, imported: Imported = NOTHING_IMPORTED) -> "Figure":
    """Draw a metric against the shots that have results.

    Bars span one standard deviation over seeds. Zero-shot methods are level lines, since they see no sample. Where
    methods are many, their averages are in a panel for each group, before the others' in grey, and datasets show the
    best of each group.

    Args:
        imported: results of other tools, whose curves are called so.

    Raises:
        UserError: no finished cell of a trained method.
    """
    shots = finished_shots(cells, metric)
    if not shots:
        raise UserError(f"no trained method has a finished {metric}, and zero-shot ones have no curve")
    tables = {k: comparison(cells, grid, shots=k, metric=metric) for k in shots}
    tables = with_imported(imported, tables, grid.datasets)
    last = tables[shots[-1]]
    means = last.means(AVERAGE)
    lower_is_better = last.measure.lower_is_better
    groups = [(t, leading({m: means[m] for m in ms}, lower_is_better=lower_is_better)) for t, ms in last.sections]
    styles = {method: index for index, method in enumerate(m for _, of_group in groups for m in of_group)}
    best = [m for _, of_group in groups for m in _best(of_group, means, lower_is_better)]
    shown = [(AVERAGE, title, of_group) for title, of_group in groups]
    shown += [(dataset, "", best if len(groups) > 1 else list(styles)) for dataset in grid.datasets]
    figure, axes = panels(len(shown))
    for axis, (column, group, methods) in zip(axes, shown, strict=True):
        if group:
            _grey(axis, tables, [m for m in styles if m not in methods])
        _panel(axis, tables, column, {m: styles[m] for m in methods})
        if group:
            axis.set_title(f"{last.head(column)}: {_shown_of(group, last)}", fontweight="bold")
            axis.sharey(axes[0])
    for axis in axes[-4:]:
        axis.set_xlabel("shots per class")
    figure.supylabel(axis_label(metric))
    note = f"panels of single datasets show the best {BEST_OF_GROUP} methods of each group, by their averages"
    legend_below(figure, axes, len(last.methods) if len(groups) == 1 else 0, note if len(groups) > 1 else None)
    return figure


def _shown_of(group: str, table: ComparisonTable) -> str:
    """The title of a group, with the number of its methods where not all are drawn."""
    methods = dict(table.sections)[group]
    return f"{group}, {MOST_METHODS} of {len(methods)}" if len(methods) > MOST_METHODS else group


def _best(methods: Sequence[str], means: Mapping[str, float | None], lower_is_better: bool) -> list[str]:
    """At most `BEST_OF_GROUP` methods of a group with the best means, in the order given."""
    known = sorted((mean, m) for m in methods if (mean := means[m]) is not None)
    kept = known[:BEST_OF_GROUP] if lower_is_better else known[-BEST_OF_GROUP:]
    return [m for m in methods if m in {name for _, name in kept}]


def _points(tables: dict[int, ComparisonTable], method: str, column: str) -> dict[int, Entry]:
    return {k: entry for k, table in tables.items() if (entry := table.entries[method, column]) is not None}


def _grey(axis: "Axes", tables: dict[int, ComparisonTable], methods: Sequence[str]) -> None:
    """The averages of methods of other groups, behind."""
    for method in methods:
        points = _points(tables, method, AVERAGE)
        axis.plot(list(points), [entry.mean for entry in points.values()], color="0.85", linewidth=1, zorder=0)


def _panel(axis: "Axes", tables: dict[int, ComparisonTable], column: str, methods: Mapping[str, int]) -> None:
    """One column of the tables, which are given by their shots in rising order; methods with the numbers of their
    styles."""
    last = tables[max(tables)]
    for method, index in methods.items():
        points = _points(tables, method, column)
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
