"""The tensors that cross module borders: frozen image features and the text side of a list of classes.

Shapes: B images, C classes, P patches, K descriptions, D joint width, R replicas, V cached views.
Features are L2-normalised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

Beside = Literal["value", "tokens", "hidden"]
"""What is kept of an image beside its global features: local ones of either kind (`core.config.sections.LocalKind`), or
the features before the projection into the joint space."""


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows of mapped files in any order, read when they are indexed: a test set may be larger than memory."""

    files: tuple[Tensor, ...]
    """Each (m, *row shape), mapped from disk; at least one."""
    file_of: Tensor
    """(n,) int64: which file holds each row."""
    row_of: Tensor
    """(n,) int64: which row of its file."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.row_of), *self.files[0].shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.files[0].dtype

    @property
    def is_consecutive(self) -> bool:
        """Whether all rows follow one another in one file: they are read without a copy then."""
        return len(_runs(self.file_of, self.row_of)) <= 1

    def __len__(self) -> int:
        return len(self.row_of)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """The rows at `index`, (*index shape, *row shape): in memory, or still mapped where they are consecutive."""
        file_of, row_of = self.file_of[index], self.row_of[index]
        runs = _runs(file_of.flatten(), row_of.flatten()) or [(0, 0, 0)]
        rows = [self.files[file][row : row + length] for file, row, length in runs]
        gathered = rows[0] if len(rows) == 1 else torch.cat(rows)
        return gathered.view(*file_of.shape, *self.shape[1:])


def _runs(file_of: Tensor, row_of: Tensor) -> list[tuple[int, int, int]]:
    """File, first row and length of each stretch of consecutive rows."""
    if not len(row_of):
        return []
    breaks = (file_of.diff() != 0) | (row_of.diff() != 1)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), breaks.nonzero().flatten() + 1])
    lengths = torch.cat([starts, torch.tensor([len(row_of)])]).diff()
    return list(zip(file_of[starts].tolist(), row_of[starts].tolist(), lengths.tolist(), strict=True))


@dataclass(frozen=True)
class ImageFeatures:
    """Frozen features of n images, held in memory or mapped from the feature store."""

    global_features: Tensor
    """(n, D)"""
    local_features: Tensor | StoredRows | None
    """(n, P, D), or None where none are asked for; (n, W) where `hidden` features are kept in their place."""
    labels: Tensor
    """(n,) int64"""
    norms: Tensor | None = None
    """(n,), of the raw global features, where they are asked for."""

    def __len__(self) -> int:
        return len(self.labels)

    def chunks(self, size: int) -> Iterator["LoadedFeatures"]:
        """Yield consecutive chunks of at most `size` images; a memory-mapped set is read chunk by chunk."""
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def rows(self, index: slice | Tensor) -> "LoadedFeatures":
        """The images at `index` (a slice, or an int64 tensor of any one-dimensional order)."""
        local = None if self.local_features is None else self.local_features[index]
        norms = None if self.norms is None else self.norms[index]
        return LoadedFeatures(self.global_features[index], local, self.labels[index], norms)


@dataclass(frozen=True)
class LoadedFeatures(ImageFeatures):
    """Features that are tensors: some or all images of a set."""

    local_features: Tensor | None


class TrainImages(Protocol):
    """Where training batches come from: cached features, or images encoded again at every step."""

    def batch(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Features of `rows` (R, B) into the pool: global (R, B, D) and local (R, B, P, D) or None.

        `rows` are on the device that trains, and so are the features.

        `epoch` selects the augmentation; the same (rows, epoch) gives the same features, so a resumed run equals
        an uninterrupted one.
        """
        ...


@dataclass(frozen=True)
class ClassText:
    """The text side of one list of classes."""

    name_tokens: tuple[tuple[int, ...], ...]
    """BPE ids of each class name and its full stop, without start and end tokens."""
    descriptions: Tensor | None = None
    """(C, K, D); rows beyond a class's own number of sentences are zero and masked."""
    description_mask: Tensor | None = None
    """(C, K) bool, at least one True in every row."""
    template: Tensor | None = None
    """(C, D): the hand-written template with each name."""

    def __len__(self) -> int:
        return len(self.name_tokens)


@dataclass(frozen=True)
class TestSet:
    """Images to classify among the classes of `text`."""

    __test__ = False  # not a pytest class

    images: ImageFeatures
    text: ClassText
