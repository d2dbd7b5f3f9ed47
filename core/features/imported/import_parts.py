"""The parts of an import, checked: one row per image with its label, and the crops of training images.

Shapes: N training rows, V crops, n rows, D joint width, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.imported_split import StoredDraw
from dualpt.core.data.splits import Split
from dualpt.core.errors import UserError
from dualpt.core.features.imported.cache_checks import (
    check_against_split,
    check_one_pass,
    check_shots,
    checked_labels,
    checked_rows,
    relabelling,
)
from dualpt.core.features.imported.cache_layouts import Cache, CachedPart
from dualpt.core.features.imported.fewshot_pickles import FewshotFile


@dataclass(frozen=True)
class Declared:
    """What no file says, and the user does."""

    info: DatasetInfo
    backbone: str
    split: Split | None = None
    """The dataset's; None where its files aren't there."""
    seed: int = 1
    """Of the draws; 1 in the scripts of Tip-Adapter, APE and GDA."""
    scale: float = 100.0
    """CLIP's logit scale."""
    raw: bool = False
    """Whether rows aren't normalised, whatever their files' names say."""
    draws: Sequence[FewshotFile] = ()
    """Draws that were kept as files of their own."""
    names: tuple[str, ...] = ()
    """Class names that came with the features, in the order of their labels."""

    @property
    def n_classes(self) -> int | None:
        return self.info.n_classes if self.split is None else len(self.split.class_names)

    @property
    def relabelling(self) -> Tensor | None:
        """(C,) the split's label for each of the features', where the latter count the classes in another order."""
        return None if self.split is None else relabelling(self.names, self.split.class_names)


@dataclass(frozen=True)
class PartRows:
    """Features and labels of one part, checked."""

    directions: Tensor
    """(n, D)"""
    norms: Tensor
    """(n,)"""
    labels: Tensor
    """(n,)"""
    place: str
    labels_place: str
    raw: bool


@dataclass(frozen=True)
class TrainingRows:
    rows: PartRows
    draws: tuple[StoredDraw, ...]
    complete: bool
    crops: Tensor | None
    """(V, N, D), normalised."""
    crop_norms: Tensor | None
    """(V, N)"""
    averaged: bool
    """Whether a row is the mean of an image's crops."""


def part_rows(part: CachedPart, declared: Declared) -> PartRows:
    """Rows and labels of one part, checked.

    Raises:
        UserError: numbers or labels that can't be right; one line.
    """
    raw = part.raw or declared.raw
    directions, norms = checked_rows(part, raw)
    known = declared.names if declared.split is None else declared.split.class_names
    labels = checked_labels(part, len(directions), declared.n_classes, known)
    if not part.named and (order := declared.relabelling) is not None:
        labels = order[labels]
    return PartRows(directions, norms, labels, part.place, part.labels_place, raw)


def training_rows(cache: Cache, declared: Declared) -> TrainingRows | None:
    """Training rows of all numbers of shots that are there, one after another; None where there are none.

    Raises:
        UserError: rows that are neither all training images of the split nor a draw of them; one line.
    """
    every = sorted({*cache.train, *cache.crops}, key=lambda shots: shots or 0)
    pools, crops, crop_norms, draws, complete = [], [], [], [], False
    start = 0
    for shots in every:
        rows, views, norms = _pool(cache.train.get(shots), cache.crops.get(shots), declared, shots)
        is_all = shots is None and len(rows.labels) == _n_train(declared)
        if is_all and declared.split is not None:
            check_against_split(rows.labels, declared.split.train, rows.labels_place)
        if not is_all:
            if shots is None:
                check_one_pass(rows.labels, rows.place)
            k = shots or int(rows.labels.bincount().max())
            check_shots(rows.labels, k, _available(declared), rows.place)
            draws.append(StoredDraw(k, declared.seed, tuple(range(start, start + len(rows.labels)))))
        complete |= is_all
        pools.append(rows)
        crops.append(views)
        crop_norms.append(norms)
        start += len(rows.labels)
    if complete and len(pools) > 1:
        raise UserError(f"{pools[0].place}: all training images and draws of them; keep one of the two")
    if not pools:
        return None
    averaged = cache.layout != "arrays by name"
    return TrainingRows(
        _joined(pools), tuple(draws), complete, _joined_crops(crops), _joined_crops(crop_norms), averaged
    )


def _pool(
    one: CachedPart | None, crops: CachedPart | None, declared: Declared, shots: int | None
) -> tuple[PartRows, Tensor | None, Tensor | None]:
    """One row per image and, where there are crops, these (V, n, D) and their norms (V, n).

    Without the row, it is the mean of the crops.
    """
    rows = None if one is None else part_rows(one, declared)
    if crops is None:
        assert rows is not None
        return rows, None, None
    every = part_rows(crops, declared)
    n_images = len(every.labels) // _n_views(every, rows)
    by_view = every.labels.view(-1, n_images)
    expected = by_view[0] if rows is None else rows.labels
    too_many = shots is not None and int(by_view[0].bincount().max()) > shots
    if (by_view != expected).any() or (rows is None and len(by_view) == 1 and too_many):
        raise UserError(
            f"{every.labels_place}: later passes aren't over the images of the first, in its order; save one pass over "
            "all images after another, not one image's crops together"
        )
    views = every.directions.unflatten(0, by_view.shape)
    if rows is None:
        mean = (every.directions * every.norms[:, None]).unflatten(0, by_view.shape).mean(0)
        norms = mean.norm(dim=1)
        rows = PartRows(mean / norms[:, None], norms, expected, every.place, every.labels_place, every.raw)
    return rows, views, every.norms.unflatten(0, by_view.shape)


def _n_views(crops: PartRows, rows: PartRows | None) -> int:
    """How often each image occurs among crops: the labels of one pass come again and again."""
    total, labels = len(crops.labels), crops.labels
    if rows is not None:
        if total % len(rows.labels):
            raise UserError(
                f"{crops.place}: {total} rows, no multiple of the {len(rows.labels)} images of {rows.place}"
            )
        return total // len(rows.labels)
    for n_images in range(1, total + 1):
        if total % n_images == 0 and labels[:n_images].unique().numel() == labels.unique().numel():
            by_view = labels.view(-1, n_images)
            if (by_view == by_view[0]).all():
                return total // n_images
    return 1


def _n_train(declared: Declared) -> int | None:
    if declared.split is not None:
        return len(declared.split.train)
    return None if declared.info.n_images is None else declared.info.n_images[0]


def _available(declared: Declared) -> Tensor | None:
    if declared.split is None:
        return None
    labels = torch.tensor([item.label for item in declared.split.train])
    return labels.bincount(minlength=len(declared.split.class_names))


def _joined(pools: list[PartRows]) -> PartRows:
    first = pools[0]
    directions, norms, labels = (
        torch.cat([getattr(one, name) for one in pools]) for name in ("directions", "norms", "labels")
    )
    return PartRows(directions, norms, labels, first.place, first.labels_place, all(one.raw for one in pools))


def _joined_crops(crops: list[Tensor | None]) -> Tensor | None:
    """Those of all pools, as many views as the one with the fewest has; None where one has none."""
    there = [one for one in crops if one is not None]
    if len(there) < len(crops):
        return None
    fewest = min(len(one) for one in there)
    return torch.cat([one[:fewest] for one in there], dim=1)
