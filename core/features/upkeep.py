"""Upkeep of the feature store: what it holds, whether it is sound, and what may be deleted. Needs no backbone."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import Timeout

from dualpt.core.errors import UserError, nearest
from dualpt.core.features.folder import FeatureFolder, Usage, open_folders
from dualpt.core.features.store import FEATURES_VERSION
from dualpt.core.files.locations import TEMPORARY_PREFIX, unwritable

STALE_SECONDS = 3600.0
"""Temporary files older than this belong to killed writers."""
DAY = 86400.0

Progress = Callable[[int, int, str], None]
"""Called with folders done, folders in total, and the one at hand."""


@dataclass(frozen=True)
class StoreListing:
    folders: list[tuple[FeatureFolder, Usage]]
    unreadable: list[Path]
    """Descriptions of folders that can't be understood; the next use of those features rewrites them."""


@dataclass
class Verification:
    """What reading every stored byte has shown."""

    folders: int = 0
    rows: int = 0
    former_rows: int = 0
    """Of these, in the former layout: nothing shows whether images changed places in one of its records."""
    damaged: dict[Path, dict[str, str]] = field(default_factory=dict)
    """Folder -> files that are deleted now -> what was wrong. The next build encodes their images again."""
    unreadable: list[Path] = field(default_factory=list)


@dataclass
class Collection:
    """What was removed, or would be."""

    removed: dict[Path, str] = field(default_factory=dict)
    """Folder or file -> why."""
    bytes: int = 0
    in_use: list[Path] = field(default_factory=list)
    """Folders that another process is writing: left alone."""
    foreign: list[Path] = field(default_factory=list)
    """Files of others in removed folders, and descriptions that can't be understood: left alone."""


def list_store(root: Path) -> StoreListing:
    """Every folder with what it holds, largest first."""
    folders, unreadable = open_folders(root)
    listed = [(folder, folder.usage()) for folder in folders]
    return StoreListing(sorted(listed, key=lambda one: -one[1].bytes), unreadable)


def verify_store(root: Path, progress: Progress | None = None) -> Verification:
    """Read every stored byte and delete files that are damaged.

    Raises:
        StorageError: damage in a store that can't be written.
    """
    folders, unreadable = open_folders(root)
    result = Verification(unreadable=unreadable)
    for number, folder in enumerate(folders):
        if progress is not None:
            progress(number, len(folders), title(folder))
        if damaged := folder.verify():
            with folder.locked():
                folder.delete_damaged()
            result.damaged[folder.path] = damaged
        usage = folder.usage()
        result.folders += 1
        result.rows += usage.rows
        result.former_rows += usage.former_rows
    if progress is not None:
        progress(len(folders), len(folders), "done")
    return result


def collect_garbage(
    root: Path,
    *,
    unused_days: float | None = None,
    backbone: str | None = None,
    dataset: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Collection:
    """Remove what nothing can use (leftovers of killed writers, empty folders, features of other versions), and the
    folders that the caller names.

    Args:
        unused_days: remove folders that nobody has read or written for so long.
        backbone, dataset: restrict that to the folders of one; alone, they remove them whatever their age.
        dry_run: remove nothing.

    Raises:
        UserError: no such backbone or dataset.
        StorageError: a file can't be deleted. Every later call goes on from there.
    """
    folders, unreadable = open_folders(root)
    for key, name in (("backbone", backbone), ("dataset", dataset)):
        names = sorted({str(folder.about.get(key)) for folder in folders})
        if name is not None and name not in names:
            raise UserError(f"--{key}: the store has no {key} '{name}'{nearest(name, names)}")
    result = Collection(foreign=unreadable)
    for number, folder in enumerate(folders):
        if progress is not None:
            progress(number, len(folders), title(folder))
        usage = folder.usage()
        if reason := _reason(folder, usage, unused_days, backbone, dataset):
            _remove(folder, usage, reason, dry_run, result)
    _remove_leftovers(root, dry_run, result)
    return result


def title(folder: FeatureFolder) -> str:
    """`mini-clip value fp32 mini-pets plain`."""
    keys = ("backbone", "local", "precision", "dataset", "view")
    return " ".join(str(folder.about.get(key) or "global") for key in keys)


def _reason(
    folder: FeatureFolder, usage: Usage, unused_days: float | None, backbone: str | None, dataset: str | None
) -> str | None:
    about = folder.about
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


def _remove(folder: FeatureFolder, usage: Usage, reason: str, dry_run: bool, result: Collection) -> None:
    foreign = folder.foreign_files()
    if not dry_run:
        try:
            with folder.locked(timeout=0):
                folder.remove()
        except Timeout:
            result.in_use.append(folder.path)
            return
    result.removed[folder.path] = reason
    result.bytes += usage.bytes
    result.foreign += foreign


def _remove_leftovers(root: Path, dry_run: bool, result: Collection) -> None:
    """Temporary files of killed writers."""
    for path in sorted(root.rglob(f"{TEMPORARY_PREFIX}*")):
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
