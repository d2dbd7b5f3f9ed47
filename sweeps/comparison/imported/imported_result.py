"""One result that another tool has measured, and what was found that is none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dualpt.core.data.catalog import IMAGENET_VARIANTS, MINI_GRID, REAL_GRID, dataset_info
from dualpt.core.errors import UserError, nearest
from dualpt.core.results import BASE_ACCURACY, NEW_ACCURACY

ImportedProtocol = Literal["few-shot", "base-to-new"]
"""The protocols under which results of other tools are read."""


@dataclass(frozen=True)
class ImportedResult:
    """One number as its file says it."""

    method: str
    dataset: str
    """By registry name."""
    shots: int
    """Training images per class; 0 where nothing was trained."""
    seed: int | None
    """None where the number is a mean over seeds that aren't named."""
    metric: str
    value: float
    """In the metric's unit, percent for accuracies."""
    spread: float | None
    """As the file states it, where `seed` is None."""
    backbone: str | None
    """In open_clip's spelling, `ViT-B-16`; None where the file doesn't say."""
    source: str
    """The file, and the line where it holds several."""

    @property
    def protocol(self) -> ImportedProtocol:
        """What the metric belongs to."""
        return "base-to-new" if self.metric.split("/")[0] in HALVES else "few-shot"


HALVES = (BASE_ACCURACY.split("/")[0], NEW_ACCURACY.split("/")[0])
"""Beginnings of the names of base-to-new's metrics."""


@dataclass
class Findings:
    """What a file or a folder of another tool holds."""

    results: list[ImportedResult] = field(default_factory=list)
    set_aside: dict[str, list[Path]] = field(default_factory=dict)
    """Why -> the files that give no row."""

    def leave(self, path: Path, why: str) -> None:
        """Set a file aside, to be reported."""
        self.set_aside.setdefault(why, []).append(path)

    def remarks(self) -> list[str]:
        """A line for each reason, with the number of files and the first of them."""
        return [
            f"not imported, since {why}: {paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"
            for why, paths in self.set_aside.items()
        ]


def dataset_named(word: str, also: Sequence[str], where: str) -> str:
    """The registry name of a dataset that a file names by it, by its title or by its folder, whatever the case.

    Args:
        also: names of the user's own datasets, as the compared cells have them.
        where: the file and line, for an error.

    Raises:
        UserError: no such dataset.
    """
    names = dataset_words(also)
    if (found := names.get(word.strip().casefold())) is None:
        raise UserError(f"{where}: unknown dataset '{word}'{nearest(word, names, names)}")
    return found


def dataset_words(also: Sequence[str]) -> dict[str, str]:
    """What files may call a dataset, in lower case -> its registry name."""
    names = {name.casefold(): name for name in also}
    for name in (*REAL_GRID, *IMAGENET_VARIANTS, *MINI_GRID):
        info = dataset_info(name)
        names |= {alias.casefold(): name for alias in (info.folder, info.title, name)}
    return names
