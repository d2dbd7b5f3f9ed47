"""Methods against one another: base against new, a radar over datasets, accuracy against shots, mean ranks."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, measure_of
from dualpt.sweeps.comparison.figures.style import (
    MOST_METHODS,
    PlainFigure,
    axis_label,
    broken,
    figure_of,
    leading,
    legend_below,
    legend_name,
    line_style,
    point_style,
)
from dualpt.sweeps.comparison.frames import finished_shots
from dualpt.sweeps.comparison.labels import AVERAGE, method_title
from dualpt.sweeps.comparison.statistics import LEVEL, Ranks
from dualpt.sweeps.comparison.tables.averages import base_to_new
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.comparison.tables.table import shots_text
from dualpt.sweeps.comparison.values import Grid
from dualpt.sweeps.console import counted
from dualpt.sweeps.names import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_TICKS = 18
"""Ranks whose numbers have room beside each other."""
LONGEST_NAME = 30
"""Characters of a line beside the diagram of ranks."""


def base_new_scatter(cells: pd.DataFrame, grid: Grid, *, shots: int) -> "Figure":
    """Accuracy on new classes against base classes, averages over datasets, with lines of equal H.

    Bars span one standard deviation over seeds.

    Raises:
        UserError: no finished cell of base-to-new at these shots, or no method with all of them.
    """
    table = base_to_new(cells, grid, shots=shots)
    points = {m: (table.entries[m, BASE_ACCURACY], table.entries[m, NEW_ACCURACY]) for m in table.methods}
    figure, axis = figure_of((5.2, 4.6))
    for index, method in enumerate(leading(table.means(HARMONIC_MEAN))):
        base, new = points[method]
        if base is None or new is None:
            continue
        errors: dict[str, Any] = {"xerr": base.spread or 0.0, "yerr": new.spread or 0.0}
        axis.errorbar(
            base.mean,
            new.mean,
            **errors,
            linestyle="",
            capsize=2,
            label=legend_name(method),
            **point_style(index, method),
        )
    if not axis.containers:
        raise UserError("no method has all cells of base-to-new: an average needs every dataset and seed")
    _lines_of_equal_h(axis)
    axis.set(xlabel=axis_label(BASE_ACCURACY), ylabel=axis_label(NEW_ACCURACY))
    axis.set_title(f"{counted(len(grid.datasets), 'dataset')}, {shots_text(shots)}")
    axis.grid(alpha=0.3)
    legend_below(figure, [axis], len(points))
    return figure


def _lines_of_equal_h(axis: "Axes") -> None:
    """Thin curves on which the harmonic mean is a multiple of five."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    for h in range(5, 100, 5):
        xs = [left + (right - left) * step / 100 for step in range(101)]
        ys = [h * x / (2 * x - h) if 2 * x > h else math.nan for x in xs]
        inside = [(x, y) for x, y in zip(xs, ys, strict=True) if low <= y <= high]
        if inside:
            axis.plot(*zip(*inside, strict=True), color="0.75", linewidth=0.8, zorder=0)
            axis.annotate(f"H {h}", inside[-1], fontsize=7, color="0.45", ha="right", va="bottom")
    axis.set(xlim=(left, right), ylim=(low, high))


def radar(cells: pd.DataFrame, grid: Grid, *, shots: int, metric: str) -> "Figure":
    """One spoke a dataset, from the worst to the best method on it; a method that lacks a dataset is not drawn.

    Raises:
        UserError: fewer than three datasets, no finished cell, or no method with all datasets.
    """
    datasets = grid.datasets
    if len(datasets) < 3:
        raise UserError("a radar needs at least three datasets")
    table = comparison(cells, grid, shots=shots, metric=metric)
    means = {
        method: [entry.mean for d in datasets if (entry := table.entries[method, d]) is not None]
        for method in table.methods
    }
    means = {method: values for method, values in means.items() if len(values) == len(datasets)}
    if not means:
        raise UserError(f"no method has a finished {metric} on every dataset")
    known, lower_is_better = len(means), table.measure.lower_is_better
    shown = leading({m: fmean(v) for m, v in means.items()}, lower_is_better=lower_is_better)
    means = {method: means[method] for method in shown}
    ends = (max, min) if lower_is_better else (min, max)
    worst, best = ([end(column) for column in zip(*means.values(), strict=True)] for end in ends)
    angles = [2 * math.pi * place / len(datasets) for place in range(len(datasets))]
    figure = PlainFigure(figsize=(8.0, 7.2), layout="constrained")
    axis = figure.add_subplot(projection="polar")
    for index, (method, values) in enumerate(means.items()):
        spokes = [_on_spoke(v, low, high) for v, low, high in zip(values, worst, best, strict=True)]
        axis.plot(
            [*angles, angles[0]],
            [*spokes, spokes[0]],
            label=legend_name(method),
            **line_style(index, method),
        )
    heads = [figure_text(table.head(dataset)) for dataset in datasets]
    digits = table.measure.digits - 1
    ranges = [f"{low:.{digits}f} – {high:.{digits}f}" for low, high in zip(worst, best, strict=True)]
    names = [f"{head}\n{span}" for head, span in zip(heads, ranges, strict=True)]
    axis.set_xticks(angles, names, fontsize=8)
    axis.tick_params(axis="x", pad=14)
    axis.set_yticks([])
    axis.set_ylim(0, 1.05)
    axis.set_title(f"{figure_text(table.title)}: worst to best method on each dataset", pad=30, fontsize=10)
    legend_below(figure, [axis], known)
    return figure


def _on_spoke(value: float, worst: float, best: float) -> float:
    """0.2 for the worst method of a dataset, 1 for the best."""
    return 0.2 + 0.8 * (value - worst) / (best - worst) if best != worst else 1.0


def shots_pareto(cells: pd.DataFrame, grid: Grid, *, metric: str) -> "Figure":
    """Average of a metric against shots: every method at every number of shots, and the front that none betters.

    Raises:
        UserError: no finished cell of a trained method, or no average.
    """
    tables = {k: comparison(cells, grid, shots=k, metric=metric) for k in finished_shots(cells, metric)}
    points = [
        (0 if method in table.untrained else k, entry.mean, method)
        for k, table in tables.items()
        for method in table.methods
        if (entry := table.entries[method, AVERAGE]) is not None
    ]
    if not points:
        raise UserError(f"no method has a finished {metric} on every dataset and seed: no average to draw")
    lower_is_better = measure_of(metric).lower_is_better
    best = min if lower_is_better else max
    averages = {m: best(mean for _, mean, method in points if method == m) for m in dict.fromkeys(p[2] for p in points)}
    front = pareto_front([(shots, mean) for shots, mean, _ in points], lower_is_better=lower_is_better)
    shown = {*leading(averages, lower_is_better=lower_is_better), *(m for k, mean, m in points if (k, mean) in front)}
    methods = [method for method in averages if method in shown]
    figure, axis = figure_of((6.4, 4.4))
    for shots, mean, method in (point for point in points if point[2] in methods):
        style = point_style(methods.index(method), method)
        axis.plot(shots, mean, linestyle="", label=legend_name(method), **style)
    axis.step(*zip(*front, strict=True), where="post", color="0.4", linewidth=1, zorder=0, label="Pareto front")
    axis.set_xscale("symlog", base=2, linthresh=1)
    axis.set_xticks([0, *tables], ["0", *map(str, tables)])
    axis.minorticks_off()
    axis.set(xlabel="shots per class", ylabel=f"average {axis_label(metric)}")
    axis.grid(alpha=0.3)
    beyond = f"the front and the {MOST_METHODS} of {len(averages)} methods with the best averages"
    more = len(methods) > MOST_METHODS  # a method on the front is shown whatever its average
    legend_below(figure, [axis], 0 if more else len(averages), beyond if more else None)
    return figure


def pareto_front(points: Sequence[tuple[int, float]], *, lower_is_better: bool = False) -> list[tuple[int, float]]:
    """Of (shots, value): those that no point betters with as few shots, from few to many."""
    sign = -1 if lower_is_better else 1
    front: list[tuple[int, float]] = []
    for shots, value in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not front or sign * value > sign * front[-1][1]:
            front.append((shots, value))
    return front


def critical_difference(ranks: Ranks, *, title: str = "") -> "Figure":
    """Demšar's diagram: mean ranks on a line, best to the right, bars over methods that are not told apart."""
    k = len(ranks.methods)
    ordered = sorted(zip(ranks.mean_ranks, ranks.methods, strict=True))
    groups = ranks.groups()
    half = -(-k // 2)
    depth = 0.6 + 0.28 * len(groups)
    figure, axis = figure_of((8.0, 1.6 + 0.32 * half + 0.18 * len(groups)))
    axis.set(xlim=(k + 0.4, 0.6), ylim=(depth + half * 0.6 + 0.2, -1.6))
    axis.axis("off")
    axis.plot([1, k], [0, 0], color="black", linewidth=1)
    for tick in range(1, k + 1):
        axis.plot([tick, tick], [0, -0.15], color="black", linewidth=1)
        if (tick - 1) % (1 + k // MOST_TICKS) == 0:
            axis.annotate(str(tick), (tick, -0.25), ha="center", va="bottom", fontsize=9)
    for place, (rank, method) in enumerate(ordered):
        best_half = place < half
        level = depth + 0.6 * (place if best_half else k - 1 - place)
        end = 1 if best_half else k
        axis.plot([rank, rank, end], [0, level, level], color="0.35", linewidth=0.9)
        shift, side = ((6, 0), "left") if best_half else ((-6, 0), "right")
        label = f"{figure_text(broken(method_title(method), LONGEST_NAME))}  {rank:.2f}"
        axis.annotate(label, (end, level), shift, textcoords="offset points", ha=side, va="center", fontsize=9)
    by_name = {method: rank for rank, method in ordered}
    cd = ranks.critical_difference
    for number, group in enumerate(groups):
        spanned = [by_name[method] for method in group]
        level, low, high = 0.3 + 0.28 * number, min(spanned), max(spanned)
        beyond = min(0.04, (cd - (high - low)) / 2)  # a bar that is longer than the difference would deny itself
        axis.plot([low - beyond, high + beyond], [level, level], color="black", linewidth=4, solid_capstyle="butt")
    axis.plot([k, k - cd], [-1.1, -1.1], color="black", linewidth=1.5, marker="|")
    text = f"critical difference {cd:.2f} at {1 - LEVEL:.0%}, {ranks.n} datasets"
    axis.annotate(text, (k, -1.2), ha="left", va="bottom", fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure
