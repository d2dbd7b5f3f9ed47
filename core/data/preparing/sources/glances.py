"""A first look into archives: what is in them, by the names of the first images, and the small files they bring."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dualpt.core.data.preparing.sources.archives import UnmarkedEnd, chunks, lists_members, members
from dualpt.core.data.preparing.sources.name_match import is_image
from dualpt.core.errors import UserError

FIRST_IMAGES, FIRST_FILES = 2000, 20_000
"""How many are looked at; Caltech101's first 900 are in categories that no split lists. In a zip, whose list of files
comes without their content, any number of other files may come first: Kaggle's ImageNet has 600,000 annotations.
"""
FIRST_NAMES = 40
"""How many are kept of files of any kind, which tell copies that can't be used."""
LARGEST_LIST = 64 * 2**20
"""Bytes of a split file or another list, at most."""


@dataclass(frozen=True)
class Glance:
    """What the beginning of an archive holds."""

    path: Path
    images: tuple[str, ...] = ()
    """Paths of its first images."""
    first: tuple[str, ...] = ()
    """Paths of its first files, whatever they are."""
    lists: frozenset[str] = frozenset()
    """Names of the split files among its first files."""
    fault: str = ""
    """Why it can't be read."""


def glance(archive: Path) -> Glance:
    """Look at the beginning of an archive."""
    images: list[str] = []
    first: list[str] = []
    lists: set[str] = set()
    fault = ""
    try:
        for member in islice(members(archive), None if lists_members(archive) else FIRST_FILES):
            name = member.path.rpartition("/")[2]
            if len(first) < FIRST_NAMES:
                first.append(member.path)
            if is_image(name):
                images.append(member.path)
            elif name.endswith(".json"):
                lists.add(name)
            if len(images) == FIRST_IMAGES:
                break
    except UnmarkedEnd:
        pass  # whether anything is missing shows when the archive is read for its images
    except UserError as error:
        fault = str(error)
    return Glance(archive, tuple(images), tuple(first), frozenset(lists), fault)


def lists_in(archive: Path, names: Collection[str]) -> dict[str, bytes]:
    """Files of given names in an archive, which is read to its end; of several of a name the first.

    Raises:
        UserError: the archive is damaged.
    """
    found: dict[str, bytes] = {}
    with suppress(UnmarkedEnd):
        for member in members(archive):
            name = member.path.rpartition("/")[2]
            if name in names and name not in found and member.size <= LARGEST_LIST:
                found[name] = b"".join(chunks(archive, member))
                if len(found) == len(names):
                    break
    return found
