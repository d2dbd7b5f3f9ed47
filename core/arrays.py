"""The tensors that cross module borders: frozen image features and the text side of a list of classes.

Shapes: B images, C classes, P patches, K descriptions, D joint width, R replicas, V cached views.
Features are L2-normalised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


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
        return bool((self.file_of.diff() == 0).all() and (self.row_of.diff() == 1).all())

    def __len__(self) -> int:
        return len(self.row_of)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """The rows at `index`, (*index shape, *row shape): in memory, or still mapped where they are consecutive."""
        file_of, row_of = self.file_of[index], self.row_of[index]
        by_file = file_of.flatten().argsort(stable=True)
        numbers, counts = file_of.flatten()[by_file].unique_consecutive(return_counts=True)
        if len(numbers) == 1:
            return self.files[int(numbers[0])][_as_slice(row_of)]
        gathered = torch.empty(file_of.numel(), *self.shape[1:], dtype=self.dtype)
        for number, places in zip(numbers.tolist(), by_file.split(counts.tolist()), strict=True):
            gathered[_as_slice(places)] = self.files[number][_as_slice(row_of.flatten()[places])]
        return gathered.view(*file_of.shape, *self.shape[1:])


def _as_slice(numbers: Tensor) -> slice | Tensor:
    """A slice where the numbers are consecutive: indexing by it copies nothing."""
    if numbers.ndim != 1 or not (numbers.diff() == 1).all():
        return numbers
    return slice(int(numbers[0]), int(numbers[0]) + len(numbers))


@dataclass(frozen=True)
class ImageFeatures:
    """Frozen features of n images, held in memory or mapped from the feature store."""

    global_features: Tensor
    """(n, D)"""
    local_features: Tensor | StoredRows | None
    """(n, P, D), or None where no local logits are asked for."""
    labels: Tensor
    """(n,) int64"""

    def __len__(self) -> int:
        return len(self.labels)

    def chunks(self, size: int) -> Iterator["LoadedFeatures"]:
        """Yield consecutive chunks of at most `size` images; a memory-mapped set is read chunk by chunk."""
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def rows(self, index: slice | Tensor) -> "LoadedFeatures":
        """The images at `index` (a slice, or an int64 tensor of any one-dimensional order)."""
        local = None if self.local_features is None else self.local_features[index]
        return LoadedFeatures(self.global_features[index], local, self.labels[index])


@dataclass(frozen=True)
class LoadedFeatures(ImageFeatures):
    """Features that are tensors: some or all images of a set."""

    local_features: Tensor | None


class TrainImages(Protocol):
    """Where training batches come from: cached features, or images encoded anew at every step."""

    def batch(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Features of `rows` (R, B) into the pool: global (R, B, D) and local (R, B, P, D) or None.

        `rows` are on the device that trains, and so are the features.

        `epoch` selects the augmentation; the same (rows, epoch) gives the same features, so that a resumed run equals
        an uninterrupted one.
        """
        ...


@dataclass(frozen=True)
class ClassText:
    """The text side of one list of classes."""

    name_tokens: tuple[tuple[int, ...], ...]
    """BPE ids of each class name, without start and end tokens."""
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
