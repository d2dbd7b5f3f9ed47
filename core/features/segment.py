"""One immutable file of image features: written once under a temporary name, moved into place, never changed.

A segment is a safetensors file with `global` (n, D), `local` (n, P, D) or `hidden` (n, W) where those are kept, and the
`norm` (n,) of each raw global feature, which files of earlier versions lack. Its metadata
holds the index (which images the rows belong to), what the rows are (weights, preprocessing, dataset, view), the
SHA-256 of each tensor, and one checksum over all of these, which is checked whenever a segment is opened.

Hashing the rows would mean reading every byte, so a segment's modification time is set to the time noted inside. A
segment with another time has been touched since, and is checked against its checksums before it is used.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dualpt.core.files.locations import write_atomically

NAME = re.compile(r"[0-9a-f]{24}\.safetensors")
"""A segment is named after its checksum."""
PARTS = ("about", "images", "sha256", "written")
"""Metadata that the checksum covers."""


class ImageKey(NamedTuple):
    """What a row belongs to: an image by its path in the dataset and by its content, wherever the data root is."""

    path: str
    digest: str


@dataclass(frozen=True)
class Column:
    """One kind of feature."""

    file: str
    """Its file in the former layout; the part before the dot names the tensor in a segment."""
    dtype: str
    """NumPy's name of the number format."""
    shape: tuple[int, ...]
    """Of one row."""

    @property
    def name(self) -> str:
        return self.file.partition(".")[0]

    @property
    def torch_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


NORM = Column("norm.f32", "float32", ())
"""Length of the raw global feature: the last column where it is kept."""


class FileState(NamedTuple):
    """What changes when a file is written; zeros for a file that isn't there."""

    size: int
    """Bytes."""
    modified: int
    """Nanoseconds since the epoch."""


def file_state(path: Path) -> FileState:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return FileState(0, 0)
    return FileState(stat.st_size, stat.st_mtime_ns)


def is_segment(name: str) -> bool:
    return NAME.fullmatch(name) is not None


class DamagedError(Exception):
    """A file that isn't what was written; the message says in what way."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows that were committed together, mapped from disk."""

    images: tuple[ImageKey, ...]
    """Of the rows, in order."""
    tensors: tuple[Tensor, ...]
    """One per column; `NORM` last, where it is kept."""
    sha256: tuple[str, ...]
    """Of the rows' bytes in each column."""
    touched: bool
    """Whether files were changed, copied or restored since they were written or last found intact."""
    written: int = 0
    """When, in whole seconds since the epoch (every file system keeps those); 0 in the former layout."""
    start: int = 0
    """The tensors' row that belongs to the first image."""

    def check_rows(self) -> None:
        """Read every byte.

        Raises:
            DamagedError: the rows aren't those that were written.
        """
        for tensor, expected in zip(self.tensors, self.sha256, strict=True):
            if _sha256(tensor[self.start : self.start + len(self.images)]) != expected:
                raise DamagedError("features do not match their checksum")


def write_segment(
    folder: Path,
    columns: Sequence[Column],
    about: Mapping[str, Any],
    images: Sequence[ImageKey],
    rows: Sequence[Tensor],
) -> str:
    """Write features of `images` as a file of their own, and return its name.

    Args:
        folder: where it is put.
        columns: what the rows are, in order; rows are converted to their number formats.
        about: what else a reader should find inside.
        images: whose features they are.
        rows: (n, *row shape) per column.

    Raises:
        StorageError: the disk is full or the folder can't be written; nothing is left behind.
    """
    tensors = {}
    for column, values in zip(columns, rows, strict=True):
        if values.shape != (len(images), *column.shape):
            raise ValueError(f"{column.name}: expected {len(images)} rows of shape {column.shape}, got {values.shape}")
        tensors[column.name] = values.to(column.torch_dtype).cpu().contiguous()
    written = int(time.time())
    metadata = {
        "about": json.dumps(about, sort_keys=True),
        "images": json.dumps(images),
        "sha256": json.dumps([_sha256(tensor) for tensor in tensors.values()]),
        "written": str(written),
    }
    metadata["checksum"] = _checksum(metadata)
    path = folder / f"{metadata['checksum'][:24]}.safetensors"
    write_atomically(path, save(tensors, metadata))
    set_time(path, written)
    return path.name


def open_segment(path: Path, columns: Sequence[Column], about: Mapping[str, Any] | None) -> Segment:
    """Map a segment; its index is checked, its rows are not read.

    Args:
        path: the file.
        columns: what it must hold; `NORM` is read where it is there.
        about: what its rows must be, or None where anything will do.

    Raises:
        DamagedError: the file is cut off, its index was changed, or its rows are of something else.
        FileNotFoundError: another process has removed it.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            columns = [*columns, *([NORM] if NORM.name in file.keys() else [])]  # noqa: SIM118
            tensors = tuple(file.get_tensor(column.name) for column in columns)
        if metadata.get("checksum") != _checksum(metadata):
            raise DamagedError("its index does not match its checksum")
        images = tuple(ImageKey(*image) for image in json.loads(metadata["images"]))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DamagedError(f"not a file of features: {error}") from None
    if about is not None and json.loads(metadata["about"]) != about:
        raise DamagedError("it holds features of another backbone, dataset or view")
    for column, tensor in zip(columns, tensors, strict=True):
        if tensor.dtype != column.torch_dtype or tensor.shape != (len(images), *column.shape):
            raise DamagedError(f"{column.name} has another shape or number format than was written")
    written = int(metadata["written"])
    touched = file_state(path).modified != written * 10**9
    return Segment(images, tensors, tuple(json.loads(metadata["sha256"])), touched, written)


def set_time(path: Path, seconds: int) -> None:
    """Set the modification time, as after finding the rows intact; not allowed, readers check rows for themselves."""
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), seconds * 10**9))


def _checksum(metadata: Mapping[str, str]) -> str:
    return hashlib.sha256("\n".join(metadata[part] for part in PARTS).encode()).hexdigest()


def _sha256(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().data).hexdigest()
