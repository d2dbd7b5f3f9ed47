"""The former layout: one growing file per column, and a JSON record for each batch of rows. Read, no longer written.

A record names the images of the rows `start` to `stop`, and the SHA-256 of their bytes in each column. No checksum
covers the record itself: nothing shows whether images changed places in it. `checked.json` holds the column files'
sizes and times when they were last written or found intact; where they differ now, or a record is younger, its rows
have been touched since.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.features.segment import Column, DamagedError, FileState, ImageKey, Segment, file_state
from dualpt.core.files.locations import write_atomically

CHECKED_FILE = "checked.json"
PREFIX, SUFFIX = "rows-", ".json"


def is_record(name: str) -> bool:
    return name.startswith(PREFIX) and name.endswith(SUFFIX)


class GrowingFiles:
    """The column files of a folder."""

    def __init__(self, folder: Path, columns: Sequence[Column]) -> None:
        self._folder, self._columns = folder, columns
        self._mapped: tuple[Tensor, ...] = ()
        self._mapped_as: tuple[FileState, ...] = ()
        """The files' states when they were mapped."""

    def open(self, name: str) -> Segment:
        """The rows of a record.

        Raises:
            DamagedError: the record isn't one, contradicts itself, or its rows are cut off.
            FileNotFoundError: another process has removed it.
        """
        record = self._folder / name
        try:
            content = json.loads(record.read_text())
            start, stop = int(content["start"]), int(content["stop"])
            images = tuple(ImageKey(*image) for image in content["images"])
            sha256 = tuple(content["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"not a record of features: {error}") from None
        consistent = len(set(images)) == len(images) == stop - start and len(sha256) == len(self._columns)
        if not consistent or name != f"{PREFIX}{start:09d}{SUFFIX}":
            raise DamagedError("the record contradicts itself")
        tensors = self._rows()
        if any(len(tensor) < stop for tensor in tensors):
            raise DamagedError("its features are cut off or lost")
        return Segment(images, tensors, sha256, self._touched(record), start=start)

    def states(self) -> tuple[FileState, ...]:
        """Of each column's file."""
        return tuple(file_state(self._folder / column.file) for column in self._columns)

    def mark_intact(self) -> None:
        """Note sizes and times of the column files, after all rows were found intact."""
        names = [column.file for column in self._columns]
        write_atomically(self._folder / CHECKED_FILE, json.dumps(dict(zip(names, self._mapped_as, strict=True))))

    def _touched(self, record: Path) -> bool:
        """Whether the record or the rows are younger than what was noted when they were written or found intact."""
        checked = self._folder / CHECKED_FILE
        try:
            known = json.loads(checked.read_text())
            noted = [FileState(*known[column.file]) for column in self._columns]
        except (OSError, ValueError, KeyError, TypeError):
            return True
        return tuple(noted) != self._mapped_as or file_state(record).modified > file_state(checked).modified

    def _rows(self) -> tuple[Tensor, ...]:
        """The complete rows of each column, mapped once for all records."""
        if (states := self.states()) != self._mapped_as:
            self._mapped_as, self._mapped = states, tuple(map(self._map, self._columns))
        return self._mapped

    def _map(self, column: Column) -> Tensor:
        path = self._folder / column.file
        shape = (file_state(path).size // column.row_bytes, *column.shape)
        if not shape[0]:
            return torch.empty(shape, dtype=column.torch_dtype)
        return torch.from_file(str(path), shared=False, size=math.prod(shape), dtype=column.torch_dtype).view(shape)
