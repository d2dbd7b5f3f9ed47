"""Upkeep of the feature store: what is in it, whether it is sound, and what may go. Needs no backbone."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import Timeout

from dualpt.core.errors import UserError, nearest
from dualpt.core.features.shelf import TEMPORARY_PREFIX, FeatureShelf, Usage, open_shelves
from dualpt.core.features.store import FEATURES_VERSION
from dualpt.core.files.locations import unwritable

STALE_SECONDS = 3600.0
"""Temporary files older than this belong to killed writers."""
DAY = 86400.0

Progress = Callable[[int, int, str], None]
"""Called with shelves done, shelves in total, and the one at hand."""


@dataclass(frozen=True)
class StoreListing:
    shelves: list[tuple[FeatureShelf, Usage]]
    unreadable: list[Path]
    """Layout files that cannot be understood; building their features again writes them anew."""


@dataclass
class Verification:
    """What reading every stored byte has shown."""

    shelves: int = 0
    rows: int = 0
    damaged: dict[Path, list[str]] = field(default_factory=dict)
    """Shelf folder -> records that are forgotten now: their images are encoded anew by the next build."""
    unreadable: list[Path] = field(default_factory=list)


@dataclass
class Collection:
    """What was removed, or would be."""

    removed: dict[Path, str] = field(default_factory=dict)
    """Folder or file -> why."""
    bytes: int = 0
    in_use: list[Path] = field(default_factory=list)
    """Shelves that another process is writing: left alone."""
    foreign: list[Path] = field(default_factory=list)
    """Files of others in removed shelves, and unreadable layout files: left alone."""


def list_store(folder: Path) -> StoreListing:
    """Every shelf with what it holds, largest first."""
    shelves, unreadable = open_shelves(folder)
    listed = [(shelf, shelf.usage()) for shelf in shelves]
    return StoreListing(sorted(listed, key=lambda one: -one[1].bytes), unreadable)


def verify_store(folder: Path, progress: Progress | None = None) -> Verification:
    """Read every stored byte and forget damaged rows.

    Raises:
        UserError: damage in a store that cannot be written.
    """
    shelves, unreadable = open_shelves(folder)
    result = Verification(unreadable=unreadable)
    for number, shelf in enumerate(shelves):
        if progress is not None:
            progress(number, len(shelves), title(shelf))
        if names := shelf.damaged():
            with _lock(shelf):
                shelf.forget_damaged()
            result.damaged[shelf.folder] = names
        result.shelves += 1
        result.rows += shelf.usage().rows
    if progress is not None:
        progress(len(shelves), len(shelves), "done")
    return result


def collect_garbage(
    folder: Path,
    *,
    unused_days: float | None = None,
    backbone: str | None = None,
    dataset: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Collection:
    """Remove what nothing can use (leftovers of killed writers, empty shelves, shelves of other versions), and shelves
    that the caller names.

    Args:
        unused_days: remove shelves that nobody has read or written for so long.
        backbone, dataset: restrict that to the shelves of one; alone, they remove them whatever their age.
        dry_run: remove nothing.

    Raises:
        UserError: no such backbone or dataset, or a file that cannot be deleted. What is removed is removed whole or
            has lost rows, and every later call goes on.
    """
    shelves, unreadable = open_shelves(folder)
    for key, name in (("backbone", backbone), ("dataset", dataset)):
        names = sorted({str(shelf.about.get(key)) for shelf in shelves})
        if name is not None and name not in names:
            raise UserError(f"--{key}: the store has no {key} '{name}'{nearest(name, names)}")
    result = Collection(foreign=unreadable)
    for number, shelf in enumerate(shelves):
        if progress is not None:
            progress(number, len(shelves), title(shelf))
        usage = shelf.usage()
        if reason := _reason(shelf, usage, unused_days, backbone, dataset):
            _remove(shelf, usage, reason, dry_run, result)
    _remove_leftovers(folder, dry_run, result)
    return result


def title(shelf: FeatureShelf) -> str:
    """`mini-clip value fp32 mini-pets plain`."""
    keys = ("backbone", "local", "precision", "dataset", "view")
    return " ".join(str(shelf.about.get(key) or "global") for key in keys)


def _reason(
    shelf: FeatureShelf, usage: Usage, unused_days: float | None, backbone: str | None, dataset: str | None
) -> str | None:
    about: dict[str, Any] = shelf.about
    if about.get("version") != FEATURES_VERSION:
        return "of another version"
    if usage.rows == 0:
        return "empty"
    if unused_days is None and backbone is None and dataset is None:
        return None
    if (backbone or about.get("backbone")) != about.get("backbone"):
        return None
    if (dataset or about.get("dataset")) != about.get("dataset"):
        return None
    idle_days = (time.time() - usage.used) / DAY
    if unused_days is None:
        return "named"
    return f"unused for {idle_days:.0f} days" if idle_days >= unused_days else None


def _remove(shelf: FeatureShelf, usage: Usage, reason: str, dry_run: bool, result: Collection) -> None:
    foreign = shelf.foreign_files()
    if not dry_run:
        try:
            with shelf.lock().acquire(timeout=0):
                shelf.remove()
        except Timeout:
            result.in_use.append(shelf.folder)
            return
        except OSError as error:
            raise unwritable(shelf.folder, error) from None
    result.removed[shelf.folder] = reason
    result.bytes += usage.bytes
    result.foreign += foreign


def _remove_leftovers(folder: Path, dry_run: bool, result: Collection) -> None:
    """Temporary files of killed writers, and folders that are empty now."""
    for path in sorted(folder.rglob(f"{TEMPORARY_PREFIX}*")):
        state = path.stat()
        if time.time() - state.st_mtime < STALE_SECONDS:
            continue
        result.removed[path] = "left by a killed writer"
        result.bytes += state.st_size
        if not dry_run:
            _delete(path)


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from None


def _lock(shelf: FeatureShelf) -> Any:
    try:
        return shelf.lock().acquire()
    except OSError as error:
        raise unwritable(shelf.folder, error) from None
