"""Which files are images of a split, by their names: the end of a path must be the path that the split lists.

So it doesn't matter how deep images are nested or what the folder above is called. File names must be equal. Folders
may differ in case, blanks, hyphens and underscores: people write `HandstandPushups` for `Handstand_Pushups`. Names are
never made up: a file without its published name is no image of the split.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from dualpt.core.data.class_folders import IMAGE_SUFFIXES

UNIQUE = re.compile(r"sun_[a-z]{16}\.jpg|v_\w+_g\d\d_c\d\d\.jpg")
"""File names of SUN397 and UCF101, which say which image it is whatever the folder."""
LEAST_SHARE = 0.5
"""Of the images in a folder, where a split's names have no folder: Food101's and Aircraft's are both numbers."""
SEPARATORS = re.compile(r"[ _-]")


@lru_cache(maxsize=65_536)
def plain(folder: str) -> str:
    """A folder's path without what people spell differently."""
    return SEPARATORS.sub("", folder).casefold()


class Match(NamedTuple):
    """A file that is an image of a dataset."""

    dataset: str
    key: str
    """Path in the split."""
    above: str
    """The folder that the image folder's content was found in."""


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
        self._by_folder: defaultdict[str, defaultdict[str, list[tuple[str, str]]]]
        self._by_folder = defaultdict(lambda: defaultdict(list))
        self._by_name: dict[str, tuple[str, str]] = {}
        for dataset, keys in wanted.items():
            for key in keys:
                folder, _, name = key.rpartition("/")
                self._by_folder[plain(folder)][name].append((dataset, key))
                if UNIQUE.fullmatch(name):
                    self._by_name[name] = (dataset, key)
        self._deepest = max((folder.count("/") + 1 for folder in self._by_folder if folder), default=0)
        self._tables = lru_cache(maxsize=4096)(self._tables_of)

    def match(self, folder: str, name: str) -> list[Match]:
        """The datasets that list a file; at most one each.

        Names without a folder count only where no dataset lists the file with its folder.

        Args:
            folder: its folder's path, with forward slashes.
            name: its file name.
        """
        matches: dict[str, Match] = {}
        for above, table in self._tables(folder):
            for dataset, key in table.get(name, ()):
                if "/" in key or not matches:
                    matches.setdefault(dataset, Match(dataset, key, above))
        if not matches and name in self._by_name:
            dataset, key = self._by_name[name]
            return [Match(dataset, key, folder)]
        return list(matches.values())

    def _tables_of(self, folder: str) -> list[tuple[str, Mapping[str, list[tuple[str, str]]]]]:
        """The tables of names for the ends of a folder's path, the longest first, with what is above that end."""
        parts = folder.split("/") if folder else []
        tables: list[tuple[str, Mapping[str, list[tuple[str, str]]]]] = []
        for depth in range(min(self._deepest, len(parts)), -1, -1):
            end = plain("/".join(parts[len(parts) - depth :]))
            if end in self._by_folder:
                tables.append(("/".join(parts[: len(parts) - depth]), self._by_folder[end]))
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
        matches = [(name, match) for name in listed for match in index.match(folder, name)]
        bare = Counter(match.dataset for _, match in matches if "/" not in match.key)
        least = LEAST_SHARE * sum(map(is_image, listed)) if bare else 0
        for name, match in matches:
            if "/" not in match.key and bare[match.dataset] < least:
                continue  # another dataset's images, of which some happen to have such names
            place = found[match.dataset].setdefault(match.above, Found(match.above))
            place.files.setdefault(match.key, f"{folder}/{name}" if folder else name)
    return {
        dataset: sorted(places.values(), key=lambda place: (-len(place.files), place.above.count("/"), place.above))
        for dataset, places in found.items()
    }


def is_image(name: str) -> bool:
    """Whether a file name is that of an image, and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
