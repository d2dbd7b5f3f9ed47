"""The features of one backbone, dataset and view: a folder of immutable segments, and whatever the former version left.

Files appear complete and are never changed. A killed writer costs the segment it was at; readers map what is there
while others add to it. A file that isn't what was written is not used: its images count as missing, and the next
build, which holds the folder's lock, deletes it and encodes them again.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualpt.core.arrays import StoredRows
from dualpt.core.errors import StorageError
from dualpt.core.features import former
from dualpt.core.features.segment import (
    NORM,
    Column,
    DamagedError,
    FileState,
    ImageKey,
    Segment,
    file_state,
    is_segment,
    open_segment,
    set_time,
    write_segment,
)
from dualpt.core.files.locations import TEMPORARY_PREFIX, holding, unwritable, write_atomically

ABOUT_FILE = "about.json"
"""What the rows are, for people and for upkeep; its time is that of the last use."""
IN_MEMORY_BYTES = 64 * 2**20
"""Local features of several files are copied together up to this size, and read when they are indexed beyond it."""

UNVERIFIABLE = (
    "%s: records of an earlier version were copied or touched; their features are intact, but nothing would show "
    "whether images had changed places in a record (`dualpt features gc` and a new build replace them)"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Usage:
    """What a folder holds."""

    rows: int
    former_rows: int
    """Of these, in the former layout."""
    bytes: int
    """Of its files."""
    idle_bytes: int
    """Of these, what belongs to no usable row."""
    used: float
    """When it was last read or written, in seconds since the epoch."""


class FeatureFolder:
    """Rows of features of one backbone, dataset and view.

    Args:
        path: the folder; created by the first build.
        columns: global features, then local or hidden ones where they are kept; their norms are kept beside them.
        about: what the rows are.
        strict: whether rows of anything else are refused; upkeep, which knows no backbone, takes them as they are.
    """

    def __init__(self, path: Path, columns: Sequence[Column], about: dict[str, Any], *, strict: bool = True) -> None:
        self.path = path
        self.columns = tuple(columns)
        self.about = about
        self.damaged: dict[str, str] = {}
        """Files that are there and not used -> why."""
        self._about = about if strict else None
        self._growing = former.GrowingFiles(path, self.columns)
        self._states: dict[str, tuple[FileState, ...]] = {}
        """Of files, as last looked at."""
        self._segments: dict[str, Segment] = {}
        self._places: dict[ImageKey, tuple[Segment, int]] = {}
        """Image -> its row in a segment's tensors."""

    @property
    def row_bytes(self) -> int:
        return sum(column.row_bytes for column in self.columns)

    @contextmanager
    def locked(self, timeout: float = -1) -> Iterator[None]:
        """Held by whoever adds or deletes files; two processes that want the same images encode them once.

        The lock lies beside the folder and outlives it: a process that waits for it while the folder is removed still
        waits for the right one.

        Args:
            timeout: seconds to wait for another process; for ever where it is negative.

        Raises:
            Timeout: another process holds it.
            StorageError: the folder can't be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from None
        with holding(self.path.with_name(f".{self.path.name}.lock"), timeout):
            yield

    def missing(self, images: Sequence[ImageKey], norms: bool = False) -> list[ImageKey]:
        """The images without usable rows, each once, in order; looks for files that other processes added.

        Args:
            norms: whether rows without the norms of raw features are of no use.
        """
        self._refresh()
        distinct = dict.fromkeys(images)
        return [image for image in distinct if image not in self._places or (norms and not self._has_norm(image))]

    def norms(self, images: Sequence[ImageKey]) -> Tensor:
        """Lengths of the images' raw global features (n,), in order; none may be `missing` with its norm."""
        (lengths,) = self._rows_of(images, [NORM], slice(len(self.columns), None))
        return lengths[:]

    def read(self, images: Sequence[ImageKey]) -> tuple[Tensor, Tensor | StoredRows | None]:
        """The images' rows in order: global (n, D), and local (n, P, D) where they are kept.

        Consecutive rows of one file come mapped from disk (copy-on-write). Of others, global ones (2 KB per image) and
        small local ones are copied into memory; the rest is read when it is indexed.
        """
        stored = self._rows_of(images, self.columns, slice(len(self.columns)))
        global_features = stored[0][:]
        if len(stored) == 1:
            return global_features, None
        local = stored[1]
        small = len(images) * self.columns[1].row_bytes <= IN_MEMORY_BYTES
        return global_features, local[:] if small or local.is_consecutive else local

    def _rows_of(self, images: Sequence[ImageKey], columns: Sequence[Column], kept: slice) -> list[StoredRows]:
        """Rows of the columns that stand at `kept` in files."""
        places = [self._places[image] for image in images]
        files = {id(segment.tensors): segment.tensors[kept] for segment, _ in places}
        numbers = {known: number for number, known in enumerate(files)}
        file_of = torch.tensor([numbers[id(segment.tensors)] for segment, _ in places], dtype=torch.int64)
        row_of = torch.tensor([row for _, row in places], dtype=torch.int64)
        tensors = list(files.values()) or [tuple(torch.empty(0, *c.shape, dtype=c.torch_dtype) for c in columns)]
        return [StoredRows(column, file_of, row_of) for column in zip(*tensors, strict=True)]

    def add(self, images: Sequence[ImageKey], rows: Sequence[Tensor]) -> None:
        """Commit the rows of `images` as a new file; the caller holds the lock.

        Args:
            images: whose rows they are.
            rows: (n, *row shape) per column, and the norms (n,) where they are known.

        Raises:
            StorageError: the disk is full or the folder can't be written; nothing is committed.
        """
        columns = (*self.columns, NORM)[: len(rows)]
        name = write_segment(self.path, columns, self.about, images, rows)
        self._states[name] = (file_state(self.path / name),)
        self._open(name)
        self._place(self._segments[name])

    def describe(self) -> None:
        """Write down what the rows are."""
        content = json.dumps(self.about | {"columns": [asdict(column) for column in self.columns]}, indent=2)
        file = self.path / ABOUT_FILE
        if not file.is_file() or file.read_bytes() != content.encode():
            write_atomically(file, content)

    def note_use(self) -> None:
        """Set the time of the last use, and spare the next reader the checks that were made here.

        Not needed, and not done, in a store that can't be written.
        """
        with suppress(OSError, StorageError):
            self.describe()
            os.utime(self.path / ABOUT_FILE)
            self._mark_intact()

    def verify(self) -> dict[str, str]:
        """Read every byte of every file.

        Returns:
            Damaged files -> what is wrong with them.
        """
        self._refresh(thorough=True)
        with suppress(StorageError):
            self._mark_intact()
        return dict(self.damaged)

    def delete_damaged(self) -> None:
        """Delete what is not used, so that it can't come back; the caller holds the lock.

        Raises:
            StorageError: a file can't be deleted.
        """
        self._refresh()
        with self._deleting():
            for name in self.damaged:
                (self.path / name).unlink(missing_ok=True)
        self._refresh()

    def usage(self) -> Usage:
        """What is stored."""
        self._refresh()
        rows = {name: len(one.images) for name, one in self._segments.items()}
        former_rows = sum(count for name, count in rows.items() if former.is_record(name))
        growing = sum(state.size for state in self._growing.states())
        size = growing + sum(state.size for state, *_ in self._states.values())
        idle = growing - former_rows * self.row_bytes + sum(self._states[name][0].size for name in self.damaged)
        used = file_state(self.path / ABOUT_FILE).modified / 1e9
        return Usage(len(self._places), former_rows, size, idle, used)

    def foreign_files(self) -> list[Path]:
        """What lies in the folder and isn't the store's."""
        return sorted(set(self.path.iterdir()) - set(self._own_files()))

    def remove(self) -> None:
        """Delete the store's own files; the caller holds the lock. Cut off, it leaves fewer images, all of them sound.

        Raises:
            StorageError: a file can't be deleted.
        """
        with self._deleting():
            for path in self._own_files():
                path.unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()

    def _own_files(self) -> list[Path]:
        """In the order in which they may be deleted: an index before its rows, what describes them last."""
        temporary = [path.name for path in self.path.glob(f"{TEMPORARY_PREFIX}*")]
        fixed = [*(column.file for column in self.columns), former.CHECKED_FILE, ABOUT_FILE]
        paths = [self.path / name for name in (*self._look(), *temporary, *fixed)]
        return [path for path in paths if path.exists()]

    @contextmanager
    def _deleting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self.path, error) from None

    def _refresh(self, *, thorough: bool = False) -> None:
        """Look at files that came or were touched, and let go of those that went."""
        found = self._look()
        if found == self._states and not thorough:
            return
        for name in set(self._states) - set(found):
            self._segments.pop(name, None)
            self.damaged.pop(name, None)
        for name, state in found.items():
            if thorough or self._states.get(name) != state:
                self._open(name, thorough=thorough)
        new = [name for name in found if self._states.get(name) != found[name] and name in self._segments]
        if not thorough and any(former.is_record(name) and self._segments[name].touched for name in new):
            logger.warning(UNVERIFIABLE, self.path)
        self._states = found
        self._places = {}
        for one in self._segments.values():
            self._place(one)

    def _look(self) -> dict[str, tuple[FileState, ...]]:
        """Segments and records; a record's state includes those of the files that hold its rows."""
        growing = self._growing.states()
        states: dict[str, tuple[FileState, ...]] = {}
        for name in sorted(os.listdir(self.path)) if self.path.is_dir() else ():
            if former.is_record(name):
                states[name] = (file_state(self.path / name), *growing)
            elif is_segment(name):
                states[name] = (file_state(self.path / name),)
        return states

    def _open(self, name: str, *, thorough: bool = False) -> None:
        """Use a file, or note why it can't be used; one that was touched is read through first."""
        self._segments.pop(name, None)
        self.damaged.pop(name, None)
        path = self.path / name
        try:
            growing = former.is_record(name)
            opened = self._growing.open(name) if growing else open_segment(path, self.columns, self._about)
            if thorough or opened.touched:
                opened.check_rows()
            self._segments[name] = opened
        except FileNotFoundError:  # removed by another process just now
            return
        except (DamagedError, OSError) as reason:
            self.damaged[name] = str(reason)
            if not thorough:
                logger.warning("%s: not used, and its images are to be encoded again: %s", path, reason)

    def _place(self, one: Segment) -> None:
        """Read its images from it, but those whose norms another file alone has."""
        for place, image in enumerate(one.images):
            if len(one.tensors) > len(self.columns) or image not in self._places or not self._has_norm(image):
                self._places[image] = (one, one.start + place)

    def _has_norm(self, image: ImageKey) -> bool:
        return len(self._places[image][0].tensors) > len(self.columns)

    def _mark_intact(self) -> None:
        """Spare others the reading of files that were touched and are as they were written."""
        touched = {name: one for name, one in self._segments.items() if one.touched}
        for name, one in touched.items():
            if not former.is_record(name):
                set_time(self.path / name, one.written)
        if any(map(former.is_record, touched)) and not any(map(former.is_record, self.damaged)):
            self._growing.mark_intact()


def check_room(folder: Path, images: int, size: int) -> None:
    """Refuse to start what can't be finished.

    Args:
        folder: where features are to be written; it need not exist yet.
        images: how many images they are of.
        size: bytes that they take.

    Raises:
        StorageError: the disk has less room.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise StorageError(
            f"{folder}: features of {images} images need {size / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free; make "
            "room (`dualpt features gc`), or set DUALPT_CACHE to a larger disk"
        )


def open_folders(root: Path) -> tuple[list[FeatureFolder], list[Path]]:
    """Every folder of features below `root`, and the descriptions there that can't be understood."""
    folders, unreadable = [], []
    for file in sorted(root.rglob(ABOUT_FILE)):
        try:
            about = json.loads(file.read_text())
            columns = [Column(c["file"], c["dtype"], tuple(c["shape"])) for c in about.pop("columns")]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(file)
        else:
            folders.append(FeatureFolder(file.parent, columns, about, strict=False))
    return folders, unreadable
