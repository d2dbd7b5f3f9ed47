"""The field's twelve-panel figure: a metric against shots, the average first, then every dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from core.errors import UserError
from core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, VAL_ACCURACY
from sweeps.comparison.frames import finished_shots
from sweeps.comparison.labels import AVERAGE, BEST, column_title, draws_no_sample, method_title
from sweeps.comparison.tables import ComparisonTable, comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by the colour-blind; markers and dashes tell the lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
SUFFIXES = (".png", ".pdf", ".svg")
METRIC_LABELS = {
    TEST_ACCURACY: "test accuracy (%)",
    BASE_ACCURACY: "accuracy on base classes (%)",
    NEW_ACCURACY: "accuracy on new classes (%)",
    HARMONIC_MEAN: "harmonic mean of base and new accuracy (%)",
    VAL_ACCURACY: "validation accuracy (%)",
}


def few_shot_curves(
    cells: pd.DataFrame, *, datasets: Sequence[str], seeds: Sequence[int], metric: str, path: Path
) -> Path:
    """Draw a metric against the shots that have results; PNG, PDF or SVG by the suffix of `path`.

    Bars span one standard deviation over seeds. Zero-shot methods are dotted levels, since they see no sample.

    Raises:
        UserError: a suffix that is not written, a path that cannot be, or no finished cell of a trained method.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--figure: {path}: figures are written as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    shots = finished_shots(cells, metric)
    if not shots:
        raise UserError(f"--figure: no trained method has a finished {metric}, and zero-shot ones have no curve")
    tables = {k: comparison(cells, datasets=datasets, shots=k, seeds=seeds, metric=metric) for k in shots}
    figure = _panels(tables, (AVERAGE, *datasets))
    figure.supylabel(METRIC_LABELS[metric])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UserError(f"--figure: {path} cannot be written ({error.strerror})") from None
    finally:
        plt.close(figure)
    return path


def _panels(tables: Mapping[int, ComparisonTable], panels: Sequence[str]) -> "Figure":
    """One panel a column of the tables, which are given by their shots in rising order."""
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    size = (3.4 * columns, 2.5 * rows + 0.8)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    methods = tables[max(tables)].methods
    for axis, panel in zip(axes.flat, panels, strict=False):
        for index, method in enumerate(methods):
            points = [(k, entry) for k in tables if (entry := tables[k].entries[method, panel]) is not None]
            if points:
                _curve(axis, index, method, points)
        axis.set_title(column_title(panel), fontweight="bold" if panel == AVERAGE else "normal")
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(tables), [str(k) for k in tables])
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("shots per class")
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, min(4, len(labels))), frameon=False)
    return figure


def _curve(axis: "Axes", index: int, method: str, points: list) -> None:  # type: ignore[type-arg]
    colour = COLOURS[index % len(COLOURS)]
    if draws_no_sample(method):
        style = DASHES[3 if method == "zero-shot" else 2]
        axis.axhline(points[-1][1].mean, color=colour, linestyle=style, linewidth=1.2, label=method_title(method))
        return
    axis.errorbar(
        [k for k, _ in points],
        [entry.mean for _, entry in points],
        yerr=[entry.spread or 0.0 for _, entry in points],
        color=colour,
        marker=MARKERS[index % len(MARKERS)],
        linestyle=DASHES[index % 2],
        markersize=4,
        linewidth=2.2 if method.startswith(BEST) else 1.4,
        capsize=2,
        label=method_title(method),
    )
