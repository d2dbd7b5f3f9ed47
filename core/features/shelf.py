"""How rows of features lie on disk: one growing file per kind of feature, and a record for every batch of rows.

A shelf folder holds `global.f32` with rows (D,), where local features are kept `local.f16` or `local.f32` with rows
(P, D), and `rows-<first>.json` for each batch: which images its rows are, and the SHA-256 of its bytes. Rows count only
once their record is there, and records appear whole, so a killed writer costs the batch it was at. Test sets of any
size are mapped, not read.

`checked.json` holds the files' sizes and times when they were last written or found intact. Files that were touched
since are read through and held against their checksums before they are used again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from dualpt.core.arrays import StoredRows
from dualpt.core.errors import UserError
from dualpt.core.features.rows import (
    Column,
    FileState,
    ImageKey,
    Record,
    file_state,
    is_record,
    read_record,
    record_name,
    record_names,
)
from dualpt.core.files.locations import unwritable, write_atomically

LAYOUT_FILE = "about.json"
CHECKED_FILE = "checked.json"
TEMPORARY_PREFIX = ".tmp-"

FileStates = dict[str, FileState]
"""By column."""


@dataclass(frozen=True)
class Usage:
    """What a shelf holds."""

    rows: int
    bytes: int
    """Of its files."""
    idle_bytes: int
    """Of rows that belong to no record: lost, damaged, or of a killed writer."""
    used: float
    """When it was last read or written, in seconds since the epoch."""


class FeatureShelf:
    """Rows of features of one backbone, dataset and view.

    Args:
        folder: the shelf's own folder; created by the first `append`.
        columns: global features, then local ones where they are kept.
        about: what the rows are, for people who look into the folder.
    """

    def __init__(self, folder: Path, columns: Sequence[Column], about: dict[str, Any]) -> None:
        self.folder = folder
        self.columns = tuple(columns)
        self.about = about
        self._records: dict[str, Record] = {}
        self._seen: dict[str, FileState] = {}
        self._rows: dict[ImageKey, int] = {}
        self._trusted: FileStates | None = None

    def lock(self) -> FileLock:
        """Held by whoever adds or removes rows; two processes that want the same images encode them once.

        The file lies beside the folder and outlives it: a process that waits for it while the shelf is removed still
        waits for the right one.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return FileLock(self.folder.with_name(f".{self.folder.name}.lock"))
        except OSError as error:
            raise unwritable(self.folder, error) from None

    def missing(self, images: Sequence[ImageKey]) -> list[ImageKey]:
        """The images without rows, each once, in order; looks for rows that other processes added."""
        self._refresh()
        return [image for image in dict.fromkeys(images) if image not in self._rows]

    def read(self, images: Sequence[ImageKey]) -> tuple[Tensor, Tensor | StoredRows | None]:
        """The images' rows in order: global (n, D), and local (n, P, D) where the shelf has them.

        Consecutive rows come mapped from disk (copy-on-write). Of others, global ones are copied into memory, which is
        2 KB an image, and local ones stay on disk and are read when they are indexed.
        """
        rows = [self._rows[image] for image in images]
        start = rows[0] if rows else 0
        n_rows = max(rows, default=-1) + 1
        global_file, *local_file = (torch.from_numpy(self._map(column, n_rows)) for column in self.columns)
        if rows == list(range(start, start + len(rows))):
            own = slice(start, start + len(rows))
            return global_file[own], local_file[0][own] if local_file else None
        order = torch.tensor(rows)
        return global_file[order], StoredRows(local_file[0], order) if local_file else None

    def append(self, images: Sequence[ImageKey], values: Sequence[Tensor]) -> None:
        """Write and commit one batch; the caller holds the lock.

        Args:
            images: whose rows they are.
            values: one tensor (n, *row shape) per column; converted to the column's number format.

        Raises:
            UserError: the disk is full or the folder not writable; nothing is committed.
        """
        start = max((record.stop for record in self._records.values()), default=0)
        try:
            hashes = [self._write(column, start, rows) for column, rows in zip(self.columns, values, strict=True)]
            record = Record(start, start + len(images), tuple(images), tuple(hashes))
            name = record_name(start)
            write_atomically(self.folder / name, json.dumps(record._asdict()))
        except OSError as error:
            raise unwritable(self.folder, error) from None
        self._records[name], self._seen[name] = record, file_state(self.folder / name)
        self._add_rows(record)
        self._trust(self._file_states())

    def describe(self) -> None:
        """Write what the rows are into the folder, for people and for upkeep; the caller holds the lock."""
        content = json.dumps(self.about | {"columns": [asdict(column) for column in self.columns]}, indent=2)
        file = self.folder / LAYOUT_FILE
        if not file.is_file() or file.read_bytes() != content.encode():
            write_atomically(file, content)

    def touched(self) -> bool:
        """Whether a file of rows was changed since it was last written here or found intact."""
        self._refresh()
        states = self._file_states()
        if not self._records or states == self._trusted:
            return False
        if states == self._read_checked():
            self._trusted = states
            return False
        return True

    def damaged(self) -> list[str]:
        """The records whose rows are not what was written, after reading every byte; none makes the files trusted."""
        self._refresh()
        states = self._file_states()
        lost = sorted(set(self._seen) - set(self._records))
        names = lost + [name for name, record in self._records.items() if not self._intact(record)]
        if not names and self._records:
            self._trust(states)
        return names

    def check_space(self, n_images: int) -> None:
        """Refuse to start what cannot be finished.

        Raises:
            UserError: the disk has less room than `n_images` rows need.
        """
        needed = n_images * sum(column.row_bytes for column in self.columns)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"{self.folder}: features of {n_images} images need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are "
                "free; make room, or set DUALPT_CACHE to a larger disk"
            )

    def forget_incomplete(self) -> list[str]:
        """Delete records that are damaged themselves or whose rows are cut off; the caller holds the lock.

        Rows that are added later would otherwise fill the place, and look like those of the old record.
        """
        self._refresh()
        return self._forget(sorted(set(self._seen) - set(self._records)))

    def forget_damaged(self) -> list[str]:
        """Delete the records whose rows are not what was written: they will be encoded anew. Holds as above.

        Returns:
            The names of the deleted records.
        """
        names = self._forget(self.damaged())
        if names:
            self._trust(self._file_states())
        return names

    def usage(self) -> Usage:
        """What is stored; a shelf's last use is the time of its layout file."""
        self._refresh()
        sizes = [state.size for state in self._file_states().values()]
        row_bytes = sum(column.row_bytes for column in self.columns)
        rows = sum(record.stop - record.start for record in self._records.values())
        records = sum(state.size for state in self._seen.values())
        used = file_state(self.folder / LAYOUT_FILE).modified / 1e9
        return Usage(rows, sum(sizes) + records, sum(sizes) - rows * row_bytes, used)

    def note_use(self) -> None:
        """Set the time of last use; nobody needs it in a store that cannot be written."""
        with suppress(OSError):
            os.utime(self.folder / LAYOUT_FILE)

    def foreign_files(self) -> list[Path]:
        """What lies in the folder and is no part of a shelf."""
        own = {LAYOUT_FILE, CHECKED_FILE, *(column.file for column in self.columns)}
        return [
            path
            for path in sorted(self.folder.iterdir())
            if path.name not in own and not is_record(path.name) and not path.name.startswith(TEMPORARY_PREFIX)
        ]

    def remove(self) -> None:
        """Delete the shelf's own files; the caller holds the lock. Records go first: cut off, it lost rows, not sense.

        Raises:
            UserError: a file cannot be deleted.
        """
        try:
            rows = [self.folder / column.file for column in self.columns]
            temporary = sorted(self.folder.glob(f"{TEMPORARY_PREFIX}*"))
            records = [self.folder / name for name in record_names(self.folder)]
            for path in (*records, *rows, *temporary, self.folder / CHECKED_FILE, self.folder / LAYOUT_FILE):
                path.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        except OSError as error:
            raise unwritable(self.folder, error) from None

    def _forget(self, names: list[str]) -> list[str]:
        try:
            for name in names:
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from None
        self._refresh()
        return names

    def _trust(self, states: FileStates) -> None:
        """Remember the files as they are, here and for other processes."""
        self._trusted = states
        with suppress(UserError):  # where nothing can be written, other processes check for themselves
            write_atomically(self.folder / CHECKED_FILE, json.dumps(states))

    def _read_checked(self) -> FileStates:
        try:
            content = json.loads((self.folder / CHECKED_FILE).read_text())
            return {file: FileState(*state) for file, state in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _file_states(self) -> FileStates:
        return {column.file: file_state(self.folder / column.file) for column in self.columns}

    def _write(self, column: Column, start: int, rows: Tensor) -> str:
        array = rows.to(getattr(torch, column.dtype)).cpu().contiguous().numpy()
        if array.shape[1:] != column.shape:
            raise ValueError(f"{column.file} has rows of shape {column.shape}, got {array.shape[1:]}")
        path = self.folder / column.file
        path.touch()
        with path.open("r+b") as file:
            file.seek(start * column.row_bytes)
            file.write(array.data)
            file.flush()
            os.fsync(file.fileno())  # rows before their record, even if the machine loses power
        return hashlib.sha256(array.data).hexdigest()

    def _map(self, column: Column, n_rows: int) -> np.ndarray[Any, Any]:
        if n_rows == 0:
            return np.empty((0, *column.shape), column.dtype)
        return np.memmap(self.folder / column.file, column.dtype, "c", shape=(n_rows, *column.shape))

    def _intact(self, record: Record) -> bool:
        for column, expected in zip(self.columns, record.sha256, strict=True):
            rows = self._map(column, record.stop)[record.start :]
            if hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest() != expected:
                return False
        return True

    def _refresh(self) -> None:
        """Read the records that came, and leave out those that went, changed or lost their rows."""
        found = {name: file_state(self.folder / name) for name in record_names(self.folder)}
        room = self._room()
        if found == self._seen and all(record.stop <= room for record in self._records.values()):
            return
        read = {
            name: self._records[name]
            if name in self._records and self._seen[name] == state
            else read_record(self.folder / name)
            for name, state in found.items()
        }
        self._seen = found
        self._records = {name: record for name, record in read.items() if record is not None and record.stop <= room}
        self._rows = {}
        for record in self._records.values():
            self._add_rows(record)

    def _add_rows(self, record: Record) -> None:
        self._rows |= {image: record.start + place for place, image in enumerate(record.images)}

    def _room(self) -> int:
        """Whole rows that every column's file holds."""
        return min(self._file_states()[column.file].size // column.row_bytes for column in self.columns)


def open_shelves(folder: Path) -> tuple[list[FeatureShelf], list[Path]]:
    """Every shelf below a folder, and the layout files there that cannot be understood."""
    shelves, unreadable = [], []
    for file in sorted(folder.rglob(LAYOUT_FILE)):
        try:
            about = json.loads(file.read_text())
            columns = [Column(c["file"], c["dtype"], tuple(c["shape"])) for c in about.pop("columns")]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(file)
        else:
            shelves.append(FeatureShelf(file.parent, columns, about))
    return shelves, unreadable
