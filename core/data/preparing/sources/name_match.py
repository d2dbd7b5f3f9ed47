"""Which files are images of a split, by their names: the end of a path must be the path that the split lists.

So it doesn't matter how deep images are nested or what the folder above is called. File names must be equal. Folders
may differ in case, blanks, hyphens and underscores: people write `HandstandPushups` for `Handstand_Pushups`. Names are
never made up: a file without its published name is no image of the split.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from dualpt.core.data.class_folders import IMAGE_SUFFIXES

UNIQUE = re.compile(r"sun_[a-z]{16}\.jpg|v_\w+_g\d\d_c\d\d\.jpg")
"""File names of SUN397 and UCF101, which say which image it is whatever the folder."""
UNIQUE_STARTS = ("sun_", "v_")
"""Spares other datasets' names the comparison."""
MOST_FOLDERS = 4096
"""Of which it is kept what splits list in them."""
LEAST_SHARE = 0.5
"""Of the images in a folder, where a split's names have no folder: Food101's and Aircraft's are both numbers."""
SEPARATORS = re.compile(r"[ _-]")


@lru_cache(maxsize=65_536)
def plain(folder: str) -> str:
    """A folder's path without what people spell differently."""
    return SEPARATORS.sub("", folder).casefold()


class Match(NamedTuple):
    """Files of one folder that are images of a dataset."""

    dataset: str
    above: str
    """The folder that the image folder's content was found in."""
    keys: dict[str, str]
    """File name -> path in the split."""
    bare: bool = False
    """Whether the split lists them without a folder."""


class _Table(NamedTuple):
    """The images that a dataset's split lists in one folder."""

    dataset: str
    above: str
    keys: Mapping[str, str]
    bare: bool


@dataclass
class Found:
    """The images of one dataset below one folder."""

    above: str
    """That folder; the rest of each path is its key, up to the spelling of folders."""
    files: dict[str, str] = field(default_factory=dict)
    """Path in the split -> path where it lies."""


class NameIndex:
    """The file names of several splits.

    Args:
        wanted: dataset -> paths in its split.
    """

    def __init__(self, wanted: Mapping[str, Iterable[str]]) -> None:
        self._by_folder: defaultdict[str, defaultdict[str, dict[str, str]]]
        self._by_folder = defaultdict(lambda: defaultdict(dict))
        self._by_name: dict[str, tuple[str, str]] = {}
        for dataset, keys in wanted.items():
            tables: dict[str, dict[str, str]] = {}
            for key in keys:
                folder, _, name = key.rpartition("/")
                if (table := tables.get(folder)) is None:
                    table = tables[folder] = self._by_folder[plain(folder)][dataset]
                table.setdefault(name, key)
                if name.startswith(UNIQUE_STARTS) and UNIQUE.fullmatch(name):
                    self._by_name[name] = (dataset, key)
        self._deepest = max((folder.count("/") + 1 for folder in self._by_folder if folder), default=0)
        self._tables: dict[str, list[_Table]] = {}
        """By folder, since members of an archive come one by one."""

    def match(self, folder: str, names: Sequence[str]) -> list[Match]:
        """The images of the datasets in a folder; a file is at most one image of each.

        Names without a folder count only where no dataset lists the file with its folder.

        Args:
            folder: its path, with forward slashes.
            names: of its files.
        """
        matches: list[Match] = []
        known: set[str] = set()
        of: defaultdict[str, set[str]] = defaultdict(set)
        for dataset, above, keys, bare in self._tables_of(folder):
            taken = known if bare else of[dataset]
            if found := {name: keys[name] for name in names if name in keys and name not in taken}:
                matches.append(Match(dataset, above, found, bare))
                of[dataset].update(found)
                known.update(found)
        if self._by_name:
            elsewhere: defaultdict[str, dict[str, str]] = defaultdict(dict)
            for name in names:
                if name in self._by_name and name not in known:
                    dataset, key = self._by_name[name]
                    elsewhere[dataset][name] = key
            matches += [Match(dataset, folder, found) for dataset, found in elsewhere.items()]
        return matches

    def _tables_of(self, folder: str) -> list[_Table]:
        """What splits list in the ends of a folder's path, the longest end first."""
        if folder in self._tables:
            return self._tables[folder]
        parts = folder.split("/") if folder else []
        tables: list[_Table] = []
        for depth in range(min(self._deepest, len(parts)), -1, -1):
            above, end = "/".join(parts[: len(parts) - depth]), plain("/".join(parts[len(parts) - depth :]))
            for dataset, keys in self._by_folder.get(end, {}).items():
                tables.append(_Table(dataset, above, keys, bare=not end))
        if len(self._tables) >= MOST_FOLDERS:
            self._tables.clear()
        self._tables[folder] = tables
        return tables


def find_images(folders: Mapping[str, Iterable[str]], index: NameIndex) -> dict[str, list[Found]]:
    """Look for the images of splits among files.

    Args:
        folders: folder -> its files' names.
        index: what is looked for.

    Returns:
        Dataset -> where images were found, the folder with the most first; of equals, the one less deep.
    """
    found: defaultdict[str, dict[str, Found]] = defaultdict(dict)
    for folder, names in folders.items():
        listed = list(names)
        for match in index.match(folder, listed):
            if match.bare and len(match.keys) < LEAST_SHARE * sum(map(is_image, listed)):
                continue  # another dataset's images, of which some happen to have such names
            place = found[match.dataset].setdefault(match.above, Found(match.above))
            inside = f"{folder}/" if folder else ""
            files = {key: f"{inside}{name}" for name, key in match.keys.items()}
            place.files.update(files if place.files.keys().isdisjoint(files) else files | place.files)
    return {
        dataset: sorted(places.values(), key=lambda place: (-len(place.files), place.above.count("/"), place.above))
        for dataset, places in found.items()
    }


def is_image(name: str) -> bool:
    """Whether a file name is that of an image, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
