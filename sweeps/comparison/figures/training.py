"""Training curves: the loss over epochs, one panel per dataset, one line per method."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.figures.style import MOST_METHODS, leading, legend_below, legend_name, line_style, panels
from dualpt.sweeps.comparison.labels import column_title
from dualpt.sweeps.names import figure_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = 4
"""Markers along a curve, which tell lines apart in grey."""
OWN_TERMS = "each method minimises its own terms and weights: compare shapes, not heights"
Curve = Sequence[tuple[int, float]]
"""(epoch, loss), epochs rising."""


def training_curves(
    curves: Mapping[tuple[str, str], Sequence[Curve]], *, averages: Mapping[str, float | None], title: str
) -> "Figure":
    """Draw the mean loss over seeds, and the range of seeds as a band.

    Losses of methods with different terms are not comparable in height, which the figure says; their shapes are.

    Args:
        averages: of all methods of the sweep; of those with a curve the `leading` ones are shown, with the looks of
            other figures where these show all methods.
        curves: (method, dataset) -> one curve a seed.

    Raises:
        UserError: there is no curve.
    """
    if not curves:
        raise UserError("no cell of these shots has recorded a loss curve")
    trained = {method: mean for method, mean in averages.items() if any(method == name for name, _ in curves)}
    shown = leading(trained)
    looks = list(averages) if len(averages) <= MOST_METHODS else shown
    datasets = list(dict.fromkeys(dataset for _, dataset in curves))
    figure, axes = panels(len(datasets))
    for axis, dataset in zip(axes, datasets, strict=True):
        for method in shown:
            index = looks.index(method)
            if own := curves.get((method, dataset)):
                epochs, losses = _aligned(own)
                every = max(1, len(epochs) // MARKS)
                style = {**line_style(index, method), "markersize": 3.5, "markevery": (index % every, every)}
                axis.plot(epochs, losses.mean(axis=0), label=legend_name(method), **style)
                axis.fill_between(epochs, losses.min(axis=0), losses.max(axis=0), color=style["color"], alpha=0.15)
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axis.set_title(figure_text(column_title(dataset)))
        axis.grid(alpha=0.3)
    for axis in axes[-4:]:
        axis.set_xlabel("epoch")
    several = len({method for method, _ in curves}) > 1
    figure.supylabel("training loss, the method's own" if several else "training loss")
    figure.suptitle(f"{title}\n{OWN_TERMS}" if several else title, fontsize=10)
    legend_below(figure, axes, len(trained))
    return figure


def _aligned(curves: Sequence[Curve]) -> tuple[list[int], np.ndarray]:
    """The epochs that all seeds recorded, and their losses (S, epochs)."""
    by_epoch = [dict(curve) for curve in curves]
    shared = sorted(set.intersection(*(set(points) for points in by_epoch)))
    return shared, np.array([[points[epoch] for epoch in shared] for points in by_epoch])
