"""How figures look: colours that the colour-blind tell apart, markers and dashes that grey leaves, and saving.

Figures are made without pyplot, which keeps every figure until it is closed, chooses a backend for the whole process,
and is not safe in threads: a notebook keeps its own backend, and a server may draw.
"""

import io
import math
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from dualpt.core.errors import UserError, nearest
from dualpt.core.results import HARMONIC_MEAN, measure_of
from dualpt.sweeps.comparison.labels import is_selected, method_title
from dualpt.sweeps.names import figure_text
from dualpt.sweeps.outputs import STDOUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette without its yellow, which white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SELECTED = "#000000"
"""Colour of the settings that searches selected, and of nothing else: no line is darker, in colour or in grey."""
DASHES = ("-", "--", "-.", ":")
SEQUENCE = "cividis_r"
"""Colour map of ordered values, more is darker; its lightness rises evenly, so grey keeps the order."""
MOST_METHODS = 16
"""Methods that a panel shows: more cannot be told apart."""
CHARACTER, HANDLE = 0.08, 0.75
"""Inches that a character of the legend takes on average, and what stands before its words and after them."""
LINE = 0.2
"""Inches that a line of the legend is high."""
LONGEST_LINE = 34
"""Characters of a line of the legend; longer names are broken."""
SUFFIXES = (".png", ".pdf", ".svg")
FORMATS = tuple(suffix[1:] for suffix in SUFFIXES)
ON_IMAGES = {
    "test": "test {}",
    "base": "{} on base classes",
    "new": "{} on new classes",
    "val": "validation {}",
    "target/mean": "{}, mean over targets",
}
"""Images that a metric is measured on, as its name begins -> what an axis calls a measure on them."""


def axis_label(metric: str) -> str:
    """`test accuracy (%)`, `negative log-likelihood on base classes (nats)`."""
    if metric == HARMONIC_MEAN:
        return "harmonic mean of base and new accuracy (%)"
    measure, images = measure_of(metric), metric.rpartition("/")[0]
    name = ON_IMAGES.get(images, f"{{}} on {figure_text(images.removeprefix('target/'))}").format(measure.title)
    return f"{name} ({'%' if measure.unit == 'percent' else measure.unit})"


class PlainFigure(Figure):
    """A figure that pyplot knows nothing of; notebooks show it where it is the value of a cell."""

    def _repr_png_(self) -> bytes:
        """IPython's protocol; its inline backend has a printer for figures, which is then used instead."""
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=80)
        return image.getvalue()


def figure_of(size: tuple[float, float]) -> "tuple[Figure, Axes]":
    """A figure of a single panel, its width and height in inches."""
    figure = PlainFigure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def line_style(index: int, method: str) -> dict[str, Any]:
    """How the line of the `index`-th method is drawn; the selected setting's is wider and above the others."""
    return {
        **point_style(index, method),
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)] if index >= len(COLOURS) else DASHES[index % 2],
        "linewidth": 2.4 if is_selected(method) else 1.4,
        "markersize": 5,
        "zorder": 3 if is_selected(method) else 2,
    }


def point_style(index: int, method: str) -> dict[str, Any]:
    """How the `index`-th method is marked; those of the second round are hollow."""
    colour = SELECTED if is_selected(method) else COLOURS[index % len(COLOURS)]
    style: dict[str, Any] = {"color": colour, "marker": MARKERS[index % len(MARKERS)]}
    return style | ({"markerfacecolor": "white"} if index // len(COLOURS) % 2 else {})


def panels(count: int, *, width: float = 3.4, height: float = 2.5, most: int = 4) -> "tuple[Figure, list[Axes]]":
    """A grid of panels, those in excess switched off."""
    columns = max(1, min(most, count))
    rows = -(-count // columns)
    size = (width * columns, height * rows + 0.8)
    figure = PlainFigure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, list(axes.flat[:count])


def leading(averages: Mapping[str, float | None], *, lower_is_better: bool = False) -> list[str]:
    """The methods that a figure shows, in the order given: those with the best averages where there are too many."""
    sign = -1 if lower_is_better else 1
    best = sorted(averages, key=lambda method: -math.inf if (mean := averages[method]) is None else sign * mean)
    kept = set(best[-MOST_METHODS:])
    return [method for method in averages if method in kept]


def legend_name(method: str) -> str:
    """What `legend_below` calls a method; matplotlib leaves labels out that begin with an underscore."""
    title = method_title(method)
    return f"\N{ZERO WIDTH SPACE}{title}" if title.startswith("_") else title


def legend_below(figure: "Figure", axes: "Iterable[Axes]", methods: int = 0, note: str | None = None) -> None:
    """One legend for all panels, each label once.

    Args:
        methods: how many there are, where the figure may show but the `leading` ones: the legend then says so.
        note: what else its title says of the methods that are shown.
    """
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if not found:
        return
    labels = [figure_text(broken(label)) for label in found]
    longest = max(len(line) for label in labels for line in label.splitlines())
    columns = max(1, min(4, len(found), int(figure.get_figwidth() / (HANDLE + CHARACTER * longest))))
    lines = -(-len(labels) // columns) * max(label.count("\n") + 1 for label in labels)
    figure.set_figheight(figure.get_figheight() + LINE * max(0, lines - 3))  # three lines are allowed for
    title = f"the {MOST_METHODS} of {methods} methods with the best averages" if methods > MOST_METHODS else note
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(list(found.values()), labels, title=title, **place)


def broken(label: str, longest: int = LONGEST_LINE) -> str:
    """A name on two lines at most; what is longer still ends in an ellipsis."""
    return "\n".join(textwrap.wrap(label, longest, max_lines=2, placeholder=" …")) or label


def check_path(path: Path, option: str, form: str | None = None) -> None:
    """Refuse a path before anything is drawn; `-` is stdout, where no terminal is.

    Args:
        form: in place of the suffix.

    Raises:
        UserError: a suffix or format that is not written, or a terminal.
    """
    if form is not None and form not in FORMATS:
        raise UserError(f"--format: unknown format '{form}'{nearest(form, FORMATS)} (known: {', '.join(FORMATS)})")
    if path == STDOUT:
        if sys.stdout.isatty():
            raise UserError(f"{option} -: a terminal can't show a figure; redirect it (`> figure.png`), or name a file")
        return
    if form is None and path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{option}: {path}: figures are written as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def save(figure: "Figure", path: Path, option: str = "--output", form: str | None = None) -> Path:
    """Write a figure, PNG, PDF or SVG by `form` or else by its suffix; to stdout where the path is `-`, PNG by default.

    Raises:
        UserError: a suffix that is not written, or a path that cannot be.
    """
    check_path(path, option, form)
    if path == STDOUT:
        figure.savefig(sys.stdout.buffer, dpi=150, format=form or FORMATS[0])
        sys.stdout.buffer.flush()
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, format=form)
    except OSError as error:
        raise UserError(f"{option}: {path} cannot be written ({error.strerror})") from None
    return path
