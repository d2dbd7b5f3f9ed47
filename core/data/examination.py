"""Is a dataset on disk what it should be? Everything that is wrong with it, and not only the first fault."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.class_folders import IMAGE_SUFFIXES
from dualpt.core.data.images import find_unreadable
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import PARTS, Item, Split, missing_files
from dualpt.core.errors import UserError


@dataclass(frozen=True)
class Examination:
    """What was found of one dataset."""

    name: str
    found: bool
    """Whether its folder is there."""
    fault: str | None = None
    """Why the split cannot be read, or None."""
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
        """Whether it can be trained and tested on as it lies; counts, namesakes and strays are only noted."""
        return self.found and not (self.fault or self.missing or self.unreadable or self.leaked)

    @property
    def as_published(self) -> bool:
        """Whether classes and images are as many as in the published dataset, where that is known."""
        same_classes = self.expected_classes in (None, self.n_classes)
        return same_classes and self.expected_images in (None, self.n_images)


def examine(
    info: DatasetInfo, root: Path, *, deep: bool = False, progress: Callable[[int, int], None] | None = None
) -> Examination:
    """Examine one dataset; reads nothing but the split and folder listings unless `deep`.

    Args:
        info: the dataset.
        root: the data root.
        deep: decode every image, in parallel threads.
        progress: told images decoded and images to decode.
    """
    if not (root / info.folder).is_dir():
        return Examination(info.name, found=False)
    try:
        split = read_split(info, root)
    except UserError as error:
        return Examination(info.name, found=True, fault=str(error))
    image_root = info.image_root(root)
    parts = [getattr(split, part) for part in PARTS]
    paths = dict.fromkeys(item.path for part in parts for item in part)
    missing = missing_files(paths, image_root)
    unreadable: list[str] = []
    if deep:
        absent = set(missing)
        unreadable = find_unreadable(image_root, [path for path in paths if path not in absent], progress)
    train, val, test = map(len, parts)
    return Examination(
        info.name,
        found=True,
        n_classes=len(split.class_names),
        n_images=(train, val, test),
        n_distinct=len(paths),
        expected_classes=info.n_classes,
        expected_images=info.n_images,
        missing=tuple(missing),
        unreadable=tuple(unreadable),
        decoded=deep,
        leaked=_leaked(split),
        repeated=tuple(dict.fromkeys(path for part in parts for path in _repeated(part))),
        namesakes=tuple(name for name, count in Counter(split.class_names).items() if count > 1),
        stray=tuple(_stray(image_root, paths)),
    )


def _leaked(split: Split) -> tuple[str, ...]:
    seen = {item.path for item in (*split.train, *split.val)}
    return tuple(dict.fromkeys(item.path for item in split.test if item.path in seen))


def _repeated(part: Sequence[Item]) -> list[str]:
    return [path for path, count in Counter(item.path for item in part).items() if count > 1]


def _stray(image_root: Path, listed: dict[str, None]) -> list[str]:
    """Image files under the image root that are not listed, sorted; hidden files and folders are left out."""
    stray = []
    for folder, inner, files in os.walk(image_root):
        inner[:] = [name for name in inner if not name.startswith(".")]
        below = Path(folder).relative_to(image_root).as_posix()
        for name in files:
            path = name if below == "." else f"{below}/{name}"
            if path not in listed and not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                stray.append(path)
    return sorted(stray)
