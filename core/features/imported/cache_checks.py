"""Cached features that cannot be right, or aren't those of the dataset: one line each, before anything is written."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError, nearest
from dualpt.core.features.imported.cache_layouts import CachedPart

TOLERANCE = 0.01
"""Of the norm of a normalised row; rows in half precision are off by 0.001."""


def checked_rows(part: CachedPart, raw: bool) -> tuple[Tensor, Tensor]:
    """Directions (n, D) and norms (n,) of a part's features, float32.

    Args:
        raw: whether rows needn't be normalised.

    Raises:
        UserError: not rows of numbers, a row that isn't finite, zero or, where it should be, not normalised.
    """
    features = part.features
    shape = tuple(features.shape)
    if features.ndim != 2:
        crops = ", and crops as train_crops (V, n, D)" if features.ndim == 3 else ""
        raise UserError(
            f"{part.place}: expected rows of features (n, D), found shape {shape}; save one row per image{crops}"
        )
    if not features.is_floating_point():
        found = str(features.dtype).removeprefix("torch.")
        raise UserError(f"{part.place}: expected floating-point features, found {found}; save them as float16 or wider")
    if (len(part.named) or len(part.labels)) == shape[1] != shape[0]:
        raise UserError(f"{part.place}: found shape {shape} for {shape[1]} labels; transpose it, one row per image")
    if 0 in features.shape:
        raise UserError(f"{part.place}: is empty, of shape {tuple(features.shape)}; save the features again")
    rows = features.float()
    _refuse(~rows.isfinite().all(1), part.place, "is not finite; compute the features again")
    norms = rows.norm(dim=1)
    _refuse(norms == 0, part.place, "is zero everywhere; compute the features again")
    if not raw:
        remedy = "expected 1; normalise the rows, or say --raw where raw features are meant"
        far = (norms - 1).abs() > TOLERANCE
        _refuse(far, part.place, f"has norm {norms[far][0].item() if far.any() else 1:.4g}, {remedy}")
    return rows / norms[:, None], norms


def checked_labels(part: CachedPart, n_rows: int, n_classes: int | None, names: Sequence[str] = ()) -> Tensor:
    """Labels (n,) int64 of a part, one-hot rows (n, C) and names turned into numbers.

    Args:
        n_rows: how many the features have.
        n_classes: of the dataset; None where it isn't known.
        names: of the classes, by which labels that are names are numbered.

    Raises:
        UserError: other numbers, not one per row, or of classes that the dataset hasn't.
    """
    labels, place = _numbered(part, names), part.labels_place
    if labels.ndim == 2 and labels.shape[1] > 1:
        _refuse(~(((labels == 0) | (labels == 1)).all(1) & (labels.sum(1) == 1)), place, "is not one-hot")
        if n_classes is not None and labels.shape[1] != n_classes:
            raise UserError(f"{place}: {labels.shape[1]} classes, and the dataset has {n_classes}; check --dataset")
        labels = labels.argmax(1)
    labels = labels.flatten()
    if len(labels) != n_rows:
        raise UserError(
            f"{place}: {len(labels)} labels for the {n_rows} rows of {part.place}; they don't belong together"
        )
    _refuse((labels != labels.double().round()) | ~labels.double().isfinite(), place, "is not a whole number")
    labels = labels.to(torch.int64)
    _refuse(labels < 0, place, "is negative; labels are 0..C-1")
    if n_classes is not None and (int(labels.min()), int(labels.max())) == (1, n_classes):
        raise UserError(f"{place}: labels are 1 to {n_classes}; subtract 1, they count from 0")
    if n_classes is not None:
        _refuse(labels >= n_classes, place, f"is no label of the dataset's {n_classes} classes; check --dataset")
    return labels


def _numbered(part: CachedPart, names: Sequence[str]) -> Tensor:
    """The part's labels, where they are names by the place of each among `names`."""
    if not part.named:
        return part.labels
    if not names:
        raise UserError(
            f"{part.labels_place}: labels are names, and nothing says their order; give data.root or --split FILE, or "
            "save class_names beside them"
        )
    places = {plain_name(name): label for label, name in enumerate(names)}
    if unknown := [name for name in part.named if plain_name(name) not in places]:
        hint = nearest(unknown[0], names) or "; check --dataset"
        raise UserError(f"{part.labels_place}: '{unknown[0]:.60}' is no class of the dataset{hint}")
    return torch.tensor([places[plain_name(name)] for name in part.named])


def plain_name(name: str) -> str:
    """A class name without what folders, code and prose write differently: case, hyphens and underscores."""
    return " ".join(re.sub("[-_]", " ", name).lower().split())


def relabelling(names: Sequence[str], classes: Sequence[str]) -> Tensor | None:
    """(C,) for each label, counted in the order of `names`, the split's; None where both are in one order.

    Names that aren't the split's, as those of prompts may be, say nothing of an order.
    """
    places = {plain_name(name): label for label, name in enumerate(classes)}
    order = [places.get(plain_name(name)) for name in names]
    if len(places) < len(classes) or sorted(-1 if one is None else one for one in order) != list(range(len(classes))):
        return None
    found = torch.tensor(order)
    return None if torch.equal(found, torch.arange(len(classes))) else found


def check_one_pass(labels: Tensor, place: str) -> None:
    """Refuse training rows that are several passes over the same images, which would count as so many images.

    Raises:
        UserError: labels that repeat as a whole, with more than one row of a class in each pass.
    """
    total = len(labels)
    for n_images in range(2, total // 2 + 1):
        one = labels[:n_images]
        if total % n_images or int(one.bincount().max()) < 2 or not torch.equal(labels, one.repeat(total // n_images)):
            continue
        if len(one.unique()) == len(labels.unique()) > 1:
            passes = total // n_images
            raise UserError(
                f"{place}: the labels of {n_images} rows come {passes} times: save one pass as the features, and all "
                f"passes as train_crops ({passes}, {n_images}, D); if every row is another image, name them "
                f"train_{int(labels.bincount().max())}shots_features"
            )


def check_width(parts: Sequence[tuple[str, int]], backbone: str, known: int | None) -> None:
    """Refuse features of different widths, or of another width than the backbone's.

    Args:
        parts: place and width of each.
        known: the backbone's; None where it isn't known.
    """
    first, width = parts[0]
    for place, other in parts:
        if other != width:
            raise UserError(
                f"{place}: features of width {other}, and {first} has {width}; both must be of one backbone"
            )
    if known is not None and width != known:
        raise UserError(f"{first}: features of width {width}, and those of {backbone} have {known}; check --backbone")


def check_against_split(labels: Tensor, items: Sequence[Item], place: str) -> None:
    """Refuse labels that aren't the split's, row by row.

    Raises:
        UserError: another count, other labels, or the same ones in another order.
    """
    wanted = torch.tensor([item.label for item in items])
    if len(labels) != len(wanted):
        raise UserError(f"{place}: {len(labels)} rows, and the split lists {len(wanted)} images; check --dataset")
    if (differs := labels != wanted).any():
        row = int(differs.nonzero()[0])
        same = torch.equal(labels.sort().values, wanted.sort().values)
        remedy = "the same labels in another order; save the rows in the split's" if same else "check --dataset"
        pairs = torch.stack([labels, wanted], 1).unique(dim=0)
        if len(pairs) == len(labels.unique()) == len(wanted.unique()):
            remedy = "the same labels in another order of classes; save class_names, in the labels' order, beside them"
        found = f"row {row} has label {int(labels[row])}, and the split's image there {int(wanted[row])}"
        raise UserError(f"{place}: {found}: {remedy}")


def check_shots(labels: Tensor, shots: int, available: Tensor | None, place: str) -> None:
    """Refuse training rows that can't be a draw of `shots` images per class.

    Args:
        labels: of the rows.
        available: (C,) training images of each class in the split; None where it isn't known.

    Raises:
        UserError: a class with too few rows or too many.
    """
    counts = labels.bincount(minlength=0 if available is None else len(available))
    for label, count in enumerate(counts.tolist()):
        most = shots if available is None else min(shots, int(available[label]))
        fewest = 1 if available is None else most
        if not fewest <= count <= max(most, fewest):
            expected = f"{most}" if fewest == most else f"{fewest} to {most}"
            raise UserError(f"{place}: {count} rows of class {label}, and a draw of {shots} shots has {expected}")


def _refuse(faulty: Tensor, place: str, fault: str) -> None:
    if faulty.any():
        row, more = int(faulty.nonzero()[0]), int(faulty.sum()) - 1
        others = f" ({more} more like it)" if more else ""
        raise UserError(f"{place}: row {row}{others} {fault}")
