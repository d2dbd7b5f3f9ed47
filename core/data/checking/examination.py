"""Whether a dataset on disk is what it should be: all that is wrong with it, not only the first fault."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.checking.duplicates import NO_DUPLICATES, Duplicates, find_duplicates
from dualpt.core.data.checking.image_faults import ImageFaults, image_faults
from dualpt.core.data.class_folders import IMAGE_SUFFIXES
from dualpt.core.data.digests import shared_index
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import PARTS, Item, Split, missing_files
from dualpt.core.errors import UserError


@dataclass(frozen=True)
class Examination:
    """What was found of one dataset."""

    name: str
    own: bool
    """Whether it is the user's own."""
    found: bool
    """Whether its folder is there."""
    fault: str | None = None
    """Why the split cannot be read, or None."""
    split_note: str = ""
    """What a reader of results must know of the split itself."""
    n_classes: int | None = None
    n_images: tuple[int, int, int] | None = None
    """Images listed in train, val and test."""
    n_distinct: int = 0
    """Images listed in any part, each counted once."""
    expected_classes: int | None = None
    expected_images: tuple[int, int, int] | None = None
    """As published; None where nothing is known."""
    missing: tuple[str, ...] = ()
    """Listed images that are not there."""
    unreadable: tuple[str, ...] = ()
    """Error lines of images that cannot be decoded; empty where none was tried."""
    spoilt: tuple[str, ...] = ()
    """Images whose grey values the field's loader cuts off; a fault of own datasets, as published ones are so."""
    duplicates: Duplicates = NO_DUPLICATES
    """Images of equal content; none where they were not read."""
    transparent: tuple[str, ...] = ()
    """Images with transparent parts, of which the loader shows the colours beneath."""
    decoded: bool = False
    """Whether every image was decoded."""
    leaked: tuple[str, ...] = ()
    """Images of both the test part and another one."""
    repeated: tuple[str, ...] = ()
    """Images listed more than once in a part."""
    namesakes: tuple[str, ...] = ()
    """Names that several classes share."""
    stray: tuple[str, ...] = ()
    """Image files that no part lists."""

    @property
    def fine(self) -> bool:
        """Whether it can be trained and tested on as it lies.

        Counts, namesakes and strays are only noted; so are images that the field's loader spoils and copies of images,
        except in the user's own datasets: published numbers include such images.
        """
        spoilt = self.own and (self.spoilt or self.duplicates.leaked or self.duplicates.two_labels)
        return self.found and not (self.fault or self.missing or self.unreadable or self.leaked or spoilt)

    @property
    def as_published(self) -> bool:
        """Whether classes and images are as many as in the published dataset, where that is known."""
        same_classes = self.expected_classes in (None, self.n_classes)
        return same_classes and self.expected_images in (None, self.n_images)


def examine(
    info: DatasetInfo,
    root: Path,
    *,
    split: Split | None = None,
    deep: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """Examine one dataset; reads nothing but the split and folder listings unless `deep`.

    Args:
        info: the dataset.
        root: the data root.
        split: its split, where it was read already.
        deep: decode every image, in parallel threads, and compare their contents.
        progress: called with images decoded and images to decode.
    """
    own = info.kind == "own"
    if not (root / info.folder).is_dir():
        return Examination(info.name, own=own, found=False)
    try:
        split = split or read_split(info, root)
    except UserError as error:
        return Examination(info.name, own=own, found=True, fault=str(error))
    image_root = info.image_root(root)
    parts = [getattr(split, part) for part in PARTS]
    paths = dict.fromkeys(item.path for part in parts for item in part)
    missing = missing_files(paths, image_root)
    looked, duplicates = ImageFaults((), (), ()), NO_DUPLICATES
    if deep:
        absent = set(missing)
        there = [path for path in paths if path not in absent]
        looked = image_faults(image_root, there, progress)
        duplicates = find_duplicates(split, _digests(image_root, there))
    train, val, test = map(len, parts)
    return Examination(
        info.name,
        own=own,
        found=True,
        split_note=split.note,
        n_classes=len(split.class_names),
        n_images=(train, val, test),
        n_distinct=len(paths),
        expected_classes=info.n_classes,
        expected_images=info.n_images,
        missing=tuple(missing),
        unreadable=looked.unreadable,
        spoilt=looked.spoilt,
        duplicates=duplicates,
        transparent=looked.transparent,
        decoded=deep,
        leaked=_leaked(split),
        repeated=tuple(dict.fromkeys(path for part in parts for path in _repeated(part))),
        namesakes=tuple(name for name, count in Counter(split.class_names).items() if count > 1),
        stray=tuple(_stray(image_root, paths)),
    )


def _digests(image_root: Path, paths: Sequence[str]) -> Mapping[str, str]:
    """Content digests by path; where an image cannot be read, which is named anyway, of those read before."""
    index = shared_index()
    try:
        return dict(zip(paths, index.digests(image_root, paths), strict=True))
    except UserError:
        return index.known(image_root, paths)


def _leaked(split: Split) -> tuple[str, ...]:
    seen = {item.path for item in (*split.train, *split.val)}
    return tuple(dict.fromkeys(item.path for item in split.test if item.path in seen))


def _repeated(part: Sequence[Item]) -> list[str]:
    return [path for path, count in Counter(item.path for item in part).items() if count > 1]


def _stray(image_root: Path, listed: dict[str, None]) -> list[str]:
    """Image files under the image root that are not listed, sorted; hidden files and folders are left out.

    Links to folders are followed, each folder once.
    """
    stray, seen = [], set()
    for folder, inner, files in os.walk(image_root, followlinks=True):
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:
            inner.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        inner[:] = [name for name in inner if not name.startswith(".")]
        below = Path(folder).relative_to(image_root).as_posix()
        for name in files:
            path = name if below == "." else f"{below}/{name}"
            if path not in listed and not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                stray.append(path)
    return sorted(stray)
