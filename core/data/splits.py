"""What a dataset's split is, and the faults that every layout shares."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import lines_fingerprint

PARTS = ("train", "val", "test")


class Item(NamedTuple):
    """One labelled image."""

    path: str
    """Relative to the dataset's image root, with forward slashes."""
    label: int
    class_name: str


@dataclass(frozen=True)
class Split:
    """The images of a dataset in the order of its split file, which the few-shot draw depends on."""

    train: tuple[Item, ...]
    """Empty for datasets that are only tested on."""
    val: tuple[Item, ...]
    """Empty where the field defines no validation split (ImageNet)."""
    test: tuple[Item, ...]
    class_names: tuple[str, ...]
    """By label. Two labels may share a name (ImageNet's 'missile'), so nothing is keyed by name."""
    fingerprint: str
    """SHA-256 over every (part, path, label, name) in order."""
    note: str = ""
    """What a reader of every result must know of the split itself; empty for splits of the field and of users."""


def make_split(parts: Mapping[str, Sequence[Item]], source: Path, *, tests_only: bool = False, note: str = "") -> Split:
    """Check the parts against each other and fingerprint them.

    Args:
        parts: `train`, `val` and `test`.
        source: the file or folder that errors name.
        tests_only: there is nothing to train on, by design.
        note: what a reader of results must know of it.

    Raises:
        UserError: no training or test images; labels that are not 0..C-1; a label with two names; a class without
            training images.
    """
    for part in ("test",) if tests_only else ("train", "test"):
        if not parts[part]:
            raise UserError(f"{source}: '{part}' lists no images; use the dataset's complete split")
    names = _class_names(parts, source)
    trained = {item.label for item in parts["train"]}
    untrained = [f"{label} '{names[label]}'" for label in sorted(set(names) - trained)]
    if untrained and not tests_only:
        raise UserError(f"{source}: no training image for class {listing(untrained)}; complete 'train'")
    missing = next((label for label in range(len(names)) if label not in names), None)
    if missing is not None:
        fault = f"label {min(names)} is negative" if min(names) < 0 else f"label {missing} is missing"
        raise UserError(f"{source}: labels must be 0..{len(names) - 1}, but {fault}; relabel the classes")
    return Split(
        train=tuple(parts["train"]),
        val=tuple(parts["val"]),
        test=tuple(parts["test"]),
        class_names=tuple(names[label] for label in range(len(names))),
        fingerprint=lines_fingerprint(
            f"{part}\0{path}\0{label}\0{name}" for part in PARTS for path, label, name in parts[part]
        ),
        note=note,
    )


def _class_names(parts: Mapping[str, Sequence[Item]], source: Path) -> dict[int, str]:
    """Label to name, over all parts."""
    names: dict[int, str] = {}
    for part in PARTS:
        for item in parts[part]:
            if names.setdefault(item.label, item.class_name) != item.class_name:
                raise UserError(
                    f"{source}: label {item.label} has two names, '{names[item.label]}' and '{item.class_name}' "
                    f"('{part}', {item.path}); give every class one label and one name"
                )
    return names


def check_files(items: Iterable[Item], image_root: Path) -> None:
    """Check that every image is on disk.

    Raises:
        UserError: the missing files, the first three by name.
    """
    if missing := missing_files((item.path for item in items), image_root):
        raise UserError(f"{image_root}: {listing(missing)} missing; complete the images or set data.root")


def missing_files(paths: Iterable[str], image_root: Path) -> list[str]:
    """Paths that are not on disk, sorted; by one directory listing per folder instead of one call per file."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        wanted[folder].add(name)
    missing: list[str] = []
    for folder, names in sorted(wanted.items()):
        absent = names - _file_names(image_root / folder)
        missing += [f"{folder}/{name}" if folder else name for name in sorted(absent)]
    return missing


def _file_names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:  # no such folder, no folder, or one that may not be read
        return set()


def listing(names: Sequence[str], shown: int = 3) -> str:
    """`a, b, c and 7 more`, for error lines; names that would break a line are escaped."""
    rest = len(names) - shown
    return ", ".join(name if name.isprintable() else ascii(name) for name in names[:shown]) + (
        f" and {rest} more" if rest > 0 else ""
    )
