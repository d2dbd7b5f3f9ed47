"""What is to be done for one dataset, decided before any file is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.preparing.links import links_for
from dualpt.core.data.splits import Split
from dualpt.core.files.fingerprint import fingerprint

State = Literal["there", "ready", "incomplete", "refused", "absent"]
"""In the data root already; can be prepared; can be prepared, but images are missing; found, but can't be used; not
found."""


@dataclass(frozen=True)
class Source:
    """A folder or an archive that images come from."""

    found_as: str
    """Whose layout it is."""
    path: str
    n_files: int | None
    """Images that come from it; None where only reading the archive will tell."""


@dataclass(frozen=True)
class ArchiveStep:
    """An archive to be read once."""

    path: Path
    target: Callable[[str], str | None]
    """A member's path -> its path in the dataset's folder; None for what isn't needed."""


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """What was found of one dataset and what will be done."""

    info: DatasetInfo
    state: State
    sources: tuple[Source, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the dataset's folder -> the user's file, or one of ImageNet's class folders."""
    solid: tuple[str, ...] = ()
    """Folders that a link can't replace: they exist already, or what an archive holds will be written into them."""
    archives: tuple[ArchiveStep, ...] = ()
    wanted: frozenset[str] = frozenset()
    """Listed images that the data root lacks, by path in the dataset's folder; none where folders decide."""
    n_listed: int = 0
    """Images that the split lists; 0 where folders decide."""
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """Split file, class names and other lists, by path in the dataset's folder."""
    split: Split | None = None
    """As its list, or folders that lie in the data root, divide it; None where folders are still to be made, or nothing
    can be done."""
    remarks: tuple[str, ...] = ()
    """What is unusual about it."""
    traps: tuple[str, ...] = ()
    """Copies that were found and can't be used, each with the reason."""
    remedy: str = ""
    """Why it can't be prepared, or what to get."""

    @property
    def will_be_done(self) -> bool:
        """Whether there is anything to do."""
        return self.state in ("ready", "incomplete")

    @property
    def missing(self) -> int:
        """Images that were found nowhere; 0 while an archive that may hold them is unread."""
        return 0 if self.archives else len(self.wanted - self.files.keys())

    @property
    def split_fingerprint(self) -> str:
        """Of the split; empty where folders decide."""
        return "" if self.split is None else self.split.fingerprint

    @cached_property
    def links(self) -> Mapping[str, str]:
        """Path of a link in the dataset's folder -> the user's file or folder that it leads to."""
        return links_for(self.files, self.solid)

    def fingerprint(self, copy: bool) -> str:
        """What a killed run's files must agree with if the next run is to use them.

        The links are among it: a folder that is one link for this plan may hold links of its own for another.
        """
        archives = [[str(step.path), step.path.stat().st_size] for step in self.archives]
        sources = [[source.found_as, source.path] for source in self.sources]
        return fingerprint([self.info.name, copy, sources, archives, self.split_fingerprint, self.links])
