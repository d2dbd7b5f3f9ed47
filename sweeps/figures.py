"""The field's twelve-panel figure: accuracy against shots, the average first, then every dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from core.errors import UserError
from core.results import TEST_ACCURACY
from sweeps.tables import AVERAGE, column_title, comparison, method_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart by the colour-blind; markers and dashes tell the lines apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")


def few_shot_curves(
    cells: pd.DataFrame, *, datasets: Sequence[str], shots: Sequence[int], seeds: Sequence[int], path: Path
) -> Path:
    """Draw test accuracy against shots; PNG, PDF or SVG by the suffix of `path`.

    Bars span one standard deviation over seeds. Zero-shot methods are dotted levels, since they see no sample.

    Raises:
        UserError: a suffix that matplotlib cannot write, or no finished cell.
    """
    if path.suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise UserError(f"{path}: figures are written as .png, .pdf or .svg")
    tables = {k: comparison(cells, datasets=datasets, shots=k, seeds=seeds, metric=TEST_ACCURACY) for k in shots}
    panels = (AVERAGE, *datasets)
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    size = (3.4 * columns, 2.5 * rows + 0.8)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    methods = tables[shots[-1]].methods
    for axis, panel in zip(axes.flat, panels, strict=False):
        for index, method in enumerate(methods):
            points = [(k, entry) for k in shots if (entry := tables[k].entries[method, panel]) is not None]
            if points:
                _curve(axis, index, method, points)
        axis.set_title(column_title(panel), fontweight="bold" if panel == AVERAGE else "normal")
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(shots), [str(k) for k in shots])
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    figure.supxlabel("shots per class")
    figure.supylabel("test accuracy (%)")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path


def _curve(axis: "Axes", index: int, method: str, points: list) -> None:  # type: ignore[type-arg]
    colour = COLOURS[index % len(COLOURS)]
    if method.startswith("zero-shot"):
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
        linewidth=1.4,
        capsize=2,
        label=method_title(method),
    )
