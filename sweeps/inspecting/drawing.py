"""The pictures of an inspection: where prompts look, confused classes, reliability, resemblance to descriptions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.colors import Normalize

from dualpt.core.learned.inspection.patches import PatchMaps
from dualpt.core.training.calibration import BINS
from dualpt.sweeps.comparison.figures.style import PlainFigure, figure_of
from dualpt.sweeps.inspecting.measurements import SetMeasurements
from dualpt.sweeps.inspecting.prompt_measurements import InsidePrompts, Look
from dualpt.sweeps.names import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

TILE = 1.35
"""Inches along a small image."""
MAP = "viridis"
"""Readable in grey and by the colour-blind."""
PLAN = "transport plan"
MOST_PROMPTS = 6
"""Prompts that a picture has room for."""
MOST_LABELS = 40
"""Classes beyond which an axis names none."""


def draw_looks(measured: SetMeasurements, form: str | None, path: Path) -> None:
    """One row an image and class: the image, then similarity, own weights and transport plan of every prompt.

    Args:
        form: the cell's local form; None where it has no local term.
    """
    rows = [(look, name, maps) for look in measured.looks for name, maps in look.maps]
    n_prompts = min(MOST_PROMPTS, len(rows[0][2].similarity))
    kinds = ["similarity", *([] if form in (None, "ot") else [f"{form} weights"]), PLAN]
    columns = 1 + len(kinds) * n_prompts
    figure = PlainFigure(figsize=(TILE * columns, TILE * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (look, name, maps), line in zip(rows, axes, strict=True):
        first = name == look.maps[0][0]
        _show_image(line[0], look.pixels if first else None)
        label = f"{_role(look, first)}{figure_text(name)}\nplan entropy {maps.plan_entropy:.2f}"
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        for axis, (values, scale) in zip(line[1:], _panels(maps, kinds, n_prompts), strict=True):
            _overlay(axis, look.pixels, values, scale)
    for place, kind in enumerate(kinds):
        for prompt in range(n_prompts):
            title = f"{kind}\nprompt {prompt + 1}" if n_prompts > 1 else kind
            axes[0, 1 + place * n_prompts + prompt].set_title(title, fontsize=8)
    axes[0, 0].set_title("image", fontsize=8)
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)  # type: ignore[union-attr, call-arg]
    _save(figure, path)


def _role(look: Look, first: bool) -> str:
    if len(look.maps) == 1:
        return ""
    return "true: " if first else "predicted: "


def _panels(maps: PatchMaps, kinds: Sequence[str], n_prompts: int) -> list[tuple["Tensor", Normalize]]:
    """Each prompt's map of each kind; the prompts of a kind share one scale, so that they can be compared."""
    by_kind = {"similarity": maps.similarity, PLAN: maps.plan}
    panels = []
    for kind in kinds:
        values = by_kind.get(kind, maps.weights)[:n_prompts]
        scale = Normalize(float(values.min()) if kind == "similarity" else 0.0, float(values.max()))
        panels += [(prompt, scale) for prompt in values]
    return panels


def _show_image(axis: "Axes", pixels: "Tensor | None") -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    if pixels is not None:
        axis.imshow(pixels.numpy(), interpolation="nearest")


def _overlay(axis: "Axes", pixels: "Tensor", values: "Tensor", scale: Normalize) -> None:
    """A map over the grey image; the extent lays each patch over its own pixels."""
    _show_image(axis, None)
    height, width = pixels.shape[:2]
    axis.imshow(pixels.numpy().mean(-1), cmap="gray", vmin=0, vmax=1, extent=(0, width, height, 0))
    axis.imshow(values.numpy(), cmap=MAP, norm=scale, alpha=0.62, extent=(0, width, height, 0), interpolation="nearest")


def draw_confusions(measured: SetMeasurements, path: Path) -> None:
    """One row a confused pair: its images, the most confidently wrong first."""
    columns = max(sum(i in measured.images for i in pair.images) for pair in measured.confusions)
    rows = len(measured.confusions)
    figure = PlainFigure(figsize=(TILE * columns + 2.6, TILE * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for pair, line in zip(measured.confusions, axes, strict=True):
        images = [measured.images[i] for i in pair.images if i in measured.images]
        for place, axis in enumerate(line):
            _show_image(axis, images[place] if place < len(images) else None)
        names = [figure_text(name) for name in measured.class_names]
        label = f"{names[pair.true]}\ntaken for\n{names[pair.predicted]}\n({len(pair.images)}: {pair.share:.0%})"
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    _save(figure, path)


def draw_reliability(measured: SetMeasurements, path: Path) -> None:
    """Accuracy against confidence in bins, and beneath it the share of images in each bin."""
    found, width = measured.reliability, 1 / BINS
    filled = found.counts > 0
    centres = ((torch.arange(BINS) + 0.5) * width).numpy()
    confidence, accuracy = found.confidence[filled].numpy(), found.accuracy[filled].numpy()
    bar: dict[str, Any] = {"width": width, "edgecolor": "white", "linewidth": 0.5}
    figure = PlainFigure(figsize=(4.2, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(centres[filled.numpy()], accuracy, color="#0072B2", label="accuracy", **bar)
    above.plot(confidence, accuracy, "o", color="black", markersize=3, label="mean confidence")
    above.plot([0, 1], [0, 1], color="0.4", linestyle="--", linewidth=1, label="perfectly calibrated")
    above.set(ylim=(0, 1), ylabel="accuracy")
    above.legend(loc="upper left", frameon=False, fontsize=8)
    below.bar(centres, (found.counts / found.counts.sum()).numpy(), color="0.6", **bar)
    below.set(xlim=(0, 1), xlabel="confidence", ylabel="share of images")
    _save(figure, path)


def draw_descriptions(prompts: InsidePrompts, path: Path) -> None:
    """Every class's mean prompt against every class's mean description."""
    assert prompts.descriptions is not None
    matrix = prompts.descriptions.by_class.numpy()
    names = [figure_text(name) for name in prompts.class_names]
    side = min(12.0, 3.2 + 0.28 * len(names))
    figure, axis = figure_of((side + 1, side))
    image = axis.imshow(matrix, cmap=MAP)
    if len(names) <= MOST_LABELS:
        axis.set_xticks(np.arange(len(names)), names, rotation=90, fontsize=8)
        axis.set_yticks(np.arange(len(names)), names, fontsize=8)
    axis.set_xlabel("mean description of")
    axis.set_ylabel("mean prompt of")
    figure.colorbar(image, label="cosine", shrink=0.8)
    _save(figure, path)


def _save(figure: "Figure", path: Path) -> None:
    figure.savefig(path, dpi=150)
