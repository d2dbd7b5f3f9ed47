"""Where a member of ImageNet's archives goes: a path in the dataset's folder, or None for what isn't wanted."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from dualpt.core.data.preparing.sources.glances import Glance
from dualpt.core.data.preparing.sources.name_match import is_image
from dualpt.core.data.preparing.steps import ArchiveStep
from dualpt.core.data.preparing.validation_order import VAL_IMAGE, class_of

CLASS_TAR = re.compile(r"(n\d{8})\.tar")
ANYWHERE = re.compile(r".+")
IN_CLASS = re.compile(r"(?:^|.*/)(n\d{8})(?:\.tar)?/([^/]+)")
KAGGLE = re.compile(r"(?:.*/)?CLS-LOC/(?:train|val|test)/.+")
"""What is in Kaggle's one archive of everything; the test images come first."""
KAGGLE_TRAIN = re.compile(r"(?:.*/)?CLS-LOC/train/(n\d{8})/([^/]+)")
KAGGLE_VAL = re.compile(r"(?:.*/)?CLS-LOC/val/[^/]+")
IN_NUMBER = re.compile(r"(?:^|.*/)(\d{1,3})/([^/]+)")


def is_kaggles(look: Glance) -> bool:
    """Whether an archive is Kaggle's one archive of everything."""
    return any(map(KAGGLE.fullmatch, look.images))


def to_class(pattern: re.Pattern[str], images: str, path: str) -> str | None:
    """By the class, the first group of the pattern, and the name, the second."""
    found = pattern.fullmatch(path)
    return f"{images}/{found[1]}/{found[2]}" if found and is_image(found[2]) else None


def to_folder(folder: str, path: str) -> str | None:
    """All images into one folder."""
    name = path.rpartition("/")[2]
    return f"{folder}/{name}" if is_image(name) else None


def to_sorted(truth: Mapping[int, str], where: re.Pattern[str], path: str) -> str | None:
    """Validation images, each to its class."""
    name = path.rpartition("/")[2]
    mine = VAL_IMAGE.fullmatch(name) and where.fullmatch(path)
    return f"images/val/{class_of(name, truth)}/{name}" if mine else None


def _first_of(targets: Sequence[Callable[[str], str | None]], path: str) -> str | None:
    return next((found for target in targets if (found := target(path)) is not None), None)


def each_once(steps: Iterable[ArchiveStep]) -> tuple[ArchiveStep, ...]:
    """Steps of which no two read the same archive."""
    by_path: defaultdict[Path, list[Callable[[str], str | None]]] = defaultdict(list)
    for step in steps:
        by_path[step.path].append(step.target)
    return tuple(
        ArchiveStep(path, targets[0] if len(targets) == 1 else partial(_first_of, targets))
        for path, targets in by_path.items()
    )
