"""Training curves: the loss over epochs, one panel a dataset, one line a method."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.errors import UserError
from sweeps.comparison.figures.style import legend_below, line_style, panels
from sweeps.comparison.labels import column_title, method_title, ordered_methods

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = Sequence[tuple[int, float]]
"""(epoch, loss), epochs rising."""


def training_curves(curves: Mapping[tuple[str, str], Sequence[Curve]], *, title: str) -> "Figure":
    """Draw the mean loss over seeds, and the range of seeds as a band.

    Losses of methods with different terms are not comparable in height; their shapes are.

    Args:
        curves: (method, dataset) -> one curve a seed.

    Raises:
        UserError: there is no curve.
    """
    if not curves:
        raise UserError("no cell of these shots has recorded a loss curve")
    datasets = list(dict.fromkeys(dataset for _, dataset in curves))
    methods = ordered_methods(method for method, _ in curves)
    figure, axes = panels(len(datasets))
    for axis, dataset in zip(axes, datasets, strict=True):
        for index, method in enumerate(methods):
            if own := curves.get((method, dataset)):
                epochs, losses = _aligned(own)
                style = {**line_style(index, method), "marker": None, "markersize": 0}
                axis.plot(epochs, losses.mean(axis=0), label=method_title(method), **style)
                axis.fill_between(epochs, losses.min(axis=0), losses.max(axis=0), color=style["color"], alpha=0.15)
        axis.set_title(column_title(dataset))
        axis.grid(alpha=0.3)
    for axis in axes[-4:]:
        axis.set_xlabel("epoch")
    figure.supylabel("training loss")
    figure.suptitle(title, fontsize=10)
    legend_below(figure, axes)
    return figure


def _aligned(curves: Sequence[Curve]) -> tuple[list[int], np.ndarray]:
    """The epochs that all seeds recorded, and their losses (S, epochs)."""
    by_epoch = [dict(curve) for curve in curves]
    shared = sorted(set.intersection(*(set(points) for points in by_epoch)))
    return shared, np.array([[points[epoch] for epoch in shared] for points in by_epoch])
