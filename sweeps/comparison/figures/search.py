"""The search: every candidate as a line over its parameters, each parameter alone, and which parameters mattered."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.ticker import MaxNLocator

from dualpt.core.errors import UserError
from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps.comparison.candidate_frame import VALUE, is_logarithmic, is_number
from dualpt.sweeps.comparison.figures.style import COLOURS, SEQUENCE, axis_label, figure_of, panels
from dualpt.sweeps.console import counted
from dualpt.sweeps.names import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABSENT = "–"
"""Where a candidate has no such parameter."""


def parallel_coordinates(candidates: pd.DataFrame) -> "Figure":
    """One vertical axis per parameter, one line per candidate, the better the darker and the higher above the others.

    Args:
        candidates: see `candidates.candidates_frame`.
    """
    keys = [str(key) for key in candidates if key != VALUE]
    axes = {key: _places(candidates, key) for key in [*keys, VALUE]}
    scaled = pd.DataFrame({key: heights for key, (heights, _) in axes.items()})
    figure, axis = figure_of((max(6.0, 1.6 * (len(keys) + 1)), 4.8))
    colours, best = colormaps[SEQUENCE], candidates[VALUE].idxmax()
    for name, row in scaled.sort_values(VALUE).iterrows():
        width = 3.0 if name == best else 1.1
        axis.plot(row.to_numpy(), color=colours(0.15 + 0.85 * row[VALUE]), linewidth=width)
    for place, key in enumerate([*keys, VALUE]):
        axis.axvline(place, color="black", linewidth=0.8)
        for position, text in axes[key][1].items():
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
            axis.annotate(figure_text(text), (place + 0.04, position), fontsize=7, va="center", bbox=box)
    heads = [_head(candidates, key) for key in keys] + ["validation\naccuracy (%)"]
    axis.set_xticks(range(len(heads)), heads, fontsize=8)
    axis.set_yticks([])
    axis.set(xlim=(-0.1, len(heads) - 0.6), ylim=(-0.06, 1.06))
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_title(f"{counted(len(candidates), 'candidate')}; the best is the wide line", fontsize=10)
    return figure


def _head(candidates: pd.DataFrame, key: str) -> str:
    scale = " (log)" if is_number(candidates[key]) and is_logarithmic(candidates, key) else ""
    return key.replace(".", ".\n", 1) + scale


def _places(candidates: pd.DataFrame, key: str) -> tuple[pd.Series, dict[float, str]]:
    """Values as heights from 0 to 1, and the labels of an axis, all of them values that some candidate has; absent
    ones stand at the bottom."""
    column = candidates[key]
    if not is_number(column):
        words = sorted(set(column.dropna())) + ([ABSENT] if column.isna().any() else [])
        by_word = {word: place / max(1, len(words) - 1) for place, word in enumerate(reversed(words))}
        return column.fillna(ABSENT).map(by_word), {height: word for word, height in by_word.items()}
    values = np.log10(column) if is_logarithmic(candidates, key) else column
    low, high = values.min(), values.max()
    bottom = 0.12 if column.isna().any() else 0.0
    heights = bottom + (1 - bottom) * (values - low) / (high - low) if high > low else values * 0 + 0.5
    known = pd.DataFrame({"height": heights, "value": column}).dropna().sort_values("height")
    at, shown = known["height"].to_numpy(dtype=float), known["value"].to_numpy(dtype=float)
    middle = int(np.abs(at - (1 + bottom) / 2).argmin())
    labels = {float(at[n]): f"{shown[n]:.3g}" for n in (0, middle, -1)}
    if column.isna().any():
        labels[0.0] = ABSENT
    return heights.fillna(0.0), labels


def slices(candidates: pd.DataFrame) -> "Figure":
    """One panel per parameter: the objective of every candidate against its value; later candidates are darker."""
    keys = [str(key) for key in candidates if key != VALUE]
    figure, axes = panels(len(keys), height=2.7)
    order = np.linspace(0.15, 0.85, len(candidates))
    colours = colormaps[SEQUENCE](order)
    best = candidates[VALUE].idxmax()
    for axis, key in zip(axes, keys, strict=True):
        _slice(axis, candidates, key, colours, best)
        axis.set_title(key, fontsize=9)
    figure.supylabel(axis_label(VAL_ACCURACY))
    figure.suptitle(
        f"{counted(len(candidates), 'candidate')}, the later the darker; a star marks the best", fontsize=10
    )
    return figure


def _slice(axis: "Axes", candidates: pd.DataFrame, key: str, colours: np.ndarray, best: Any) -> None:
    column = candidates[key]
    if is_number(column):
        xs = column
        if is_logarithmic(candidates, key):
            axis.set_xscale("log")
        elif (column.dropna() % 1 == 0).all():
            axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    else:
        words = sorted(set(column.fillna(ABSENT)))
        axis.set_xticks(range(len(words)), list(map(figure_text, words)), fontsize=8)
        axis.set_xlim(-0.5, len(words) - 0.5)
        xs = column.fillna(ABSENT).map(words.index)
    axis.scatter(xs, candidates[VALUE], c=colours, edgecolors="0.3", linewidths=0.5, s=28)
    if not pd.isna(xs[best]):
        star: dict[str, Any] = {"marker": "*", "markersize": 13, "color": COLOURS[1], "markeredgecolor": "black"}
        axis.plot(xs[best], candidates[VALUE][best], **star)
    axis.grid(alpha=0.3)


def importances(shares: Mapping[str, float], *, judged: int, doubtful: Collection[str] = ()) -> "Figure":
    """How much of what parameters do each of them accounts for, by Optuna's estimate.

    Args:
        shares: parameter -> share, adding up to 1 (`search.parameter_importances`).
        judged: candidates behind the estimate.
        doubtful: parameters to mark: too few candidates have, or lack, them.

    Raises:
        UserError: there are none.
    """
    if not shares:
        raise UserError("importances need a search of at least one parameter and several judged candidates")
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure, axis = figure_of((6.4, 1.2 + 0.34 * len(ordered)))
    bars = axis.barh([key for key, _ in ordered], [share for _, share in ordered], color=COLOURS[0])
    axis.bar_label(bars, [f"{share:.2f}{' *' * (key in doubtful)}" for key, share in ordered], padding=3, fontsize=8)
    axis.set(xlabel="share of what parameters account for (PED-ANOVA)", xlim=(0, 1.1 * max(shares.values())))
    axis.set_title(f"importance by {counted(judged, 'candidate')}", fontsize=10)
    axis.grid(alpha=0.3, axis="x")
    if doubtful:
        figure.supxlabel("* few candidates: a single one has it, or lacks it; may be inaccurate", fontsize=8)
    return figure
