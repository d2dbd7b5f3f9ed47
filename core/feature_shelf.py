"""How rows of features lie on disk: one growing file per kind of feature, and a record for every batch of rows.

A shelf folder holds `global.f32` with rows (D,), where local features are kept `local.f16` or `local.f32` with rows
(P, D), and `rows-<first>.json` for each batch: which images its rows are, and the SHA-256 of its bytes. Rows count only
once their record is there, and records appear whole, so a killed writer costs the batch it was at. Rows of images
that were asked for together lie together: a test set of any size is mapped, not read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from core.errors import UserError
from core.locations import unwritable, write_atomically

LAYOUT_FILE = "about.json"


class ImageKey(NamedTuple):
    """What a row belongs to: a file by its path and its content, wherever the data root is."""

    path: str
    digest: str


@dataclass(frozen=True)
class Column:
    """One file of rows."""

    file: str
    dtype: str
    """NumPy's name of the number format."""
    shape: tuple[int, ...]
    """Of one row."""

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class Record(NamedTuple):
    """One committed batch of rows."""

    start: int
    stop: int
    images: tuple[ImageKey, ...]
    sha256: tuple[str, ...]
    """Of the batch's bytes in each column."""


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
        self._seen: dict[str, tuple[int, int]] = {}
        self._rows: dict[ImageKey, int] = {}

    def lock(self) -> FileLock:
        """Held by whoever adds rows; two processes that want the same images encode them once."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from None
        return FileLock(self.folder / ".lock")

    def missing(self, images: Sequence[ImageKey]) -> list[ImageKey]:
        """The images without rows, each once, in order; looks for rows that other processes added."""
        self._refresh()
        return [image for image in dict.fromkeys(images) if image not in self._rows]

    def read(self, images: Sequence[ImageKey]) -> tuple[Tensor, ...]:
        """The images' rows of every column, (n, *row shape), in order.

        Consecutive rows come mapped from disk (copy-on-write), others are copied into memory.
        """
        rows = [self._rows[image] for image in images]
        start = rows[0] if rows else 0
        consecutive = rows == list(range(start, start + len(rows)))
        n_rows = max(rows, default=-1) + 1
        tensors = (torch.from_numpy(self._map(column, n_rows)) for column in self.columns)
        if consecutive:
            return tuple(tensor[start : start + len(rows)] for tensor in tensors)
        index = torch.tensor(rows)
        return tuple(tensor[index] for tensor in tensors)

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
            if not (self.folder / LAYOUT_FILE).is_file():
                content = self.about | {"columns": [asdict(column) for column in self.columns]}
                write_atomically(self.folder / LAYOUT_FILE, json.dumps(content, indent=2))
            hashes = [self._write(column, start, rows) for column, rows in zip(self.columns, values, strict=True)]
            record = Record(start, start + len(images), tuple(images), tuple(hashes))
            name = f"rows-{start:09d}.json"
            write_atomically(self.folder / name, json.dumps(record._asdict()))
        except OSError as error:
            raise unwritable(self.folder, error) from None
        self._records[name], self._seen[name] = record, _state(self.folder / name)
        self._add_rows(record)

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
        incomplete = self.forget_incomplete()
        return incomplete + self._forget([n for n, record in self._records.items() if not self._intact(record)])

    def _forget(self, names: list[str]) -> list[str]:
        for name in names:
            (self.folder / name).unlink()
        self._refresh()
        return names

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
        found = {name: _state(self.folder / name) for name in _record_names(self.folder)}
        room = self._room()
        if found == self._seen and all(record.stop <= room for record in self._records.values()):
            return
        read = {
            name: self._records[name]
            if name in self._records and self._seen[name] == state
            else _read_record(self.folder / name)
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
        sizes = [_state(self.folder / column.file)[0] // column.row_bytes for column in self.columns]
        return min(sizes)


def open_shelves(folder: Path) -> list[FeatureShelf]:
    """Every shelf below a folder."""
    shelves = []
    for file in sorted(folder.rglob(LAYOUT_FILE)):
        about = json.loads(file.read_text())
        columns = [Column(c["file"], c["dtype"], tuple(c["shape"])) for c in about.pop("columns")]
        shelves.append(FeatureShelf(file.parent, columns, about))
    return shelves


def _record_names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.startswith("rows-") and name.endswith(".json"))
    except FileNotFoundError:
        return []


def _read_record(path: Path) -> Record | None:
    """A record, or None where it is no record: its rows do not count then."""
    try:
        content = json.loads(path.read_text())
        images = tuple(ImageKey(*image) for image in content["images"])
        return Record(content["start"], content["stop"], images, tuple(content["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _state(path: Path) -> tuple[int, int]:
    """Size in bytes and modification time in ns; zeros for a file that is not there."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
