"""What a shelf's rows are, as written down beside them: number formats, images, checksums.

A record is one JSON file for every batch of rows. It appears whole or not at all, after its rows are on disk.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

RECORD_PREFIX, RECORD_SUFFIX = "rows-", ".json"


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


class FileState(NamedTuple):
    """What changes when a file is written; zeros for a file that is not there."""

    size: int
    """Bytes."""
    modified: int
    """Nanoseconds."""


def record_name(start: int) -> str:
    return f"{RECORD_PREFIX}{start:09d}{RECORD_SUFFIX}"


def is_record(name: str) -> bool:
    return name.startswith(RECORD_PREFIX) and name.endswith(RECORD_SUFFIX)


def record_names(folder: Path) -> list[str]:
    """The records in a folder, in the order of their rows."""
    try:
        return sorted(filter(is_record, os.listdir(folder)))
    except FileNotFoundError:
        return []


def read_record(path: Path) -> Record | None:
    """A record, or None where it is no record: its rows do not count then."""
    try:
        content = json.loads(path.read_text())
        images = tuple(ImageKey(*image) for image in content["images"])
        return Record(content["start"], content["stop"], images, tuple(content["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def file_state(path: Path) -> FileState:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return FileState(0, 0)
    return FileState(stat.st_size, stat.st_mtime_ns)
