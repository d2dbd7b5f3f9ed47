"""The few-shot draw behind every published number, its division, and the base-to-new division of classes.

The draw is CoOp's: `random` seeded once, training shots first and then min(shots, 4) validation shots; classes in the
order of their first appearance in the split file; `random.sample` where a class has enough images, and all of its
images, without touching the generator, where it has not. Shots are not nested. Draws in proportion to the classes
(`draws.imbalanced`) are made in the same way; their validation shots are equally many of each class.
"""

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dualpt.core.config.sections import DrawKind
from dualpt.core.data.draws.imbalanced import images_per_class
from dualpt.core.data.splits import Item, Split
from dualpt.core.files.fingerprint import rows_fingerprint
from dualpt.core.selection_rules import MOST_FOLDS

MAX_VAL_SHOTS = 4
"""Validation images per class, at most."""
Division = tuple[tuple[Item, ...], tuple[Item, ...]]
"""A support set divided: images to train on, and those held out."""


@dataclass(frozen=True)
class FewShotSample:
    """The drawn images, in the order of the draw."""

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    fingerprint: str
    """SHA-256 over (path, label) of train, then val: a seed alone does not say what was drawn."""


def draw_few_shot(
    split: Split, shots: int, seed: int, among: Sequence[Item] | None = None, kind: DrawKind = "standard"
) -> FewShotSample:
    """Draw `shots` training and min(shots, 4) validation images per class.

    Where the split has no validation images (ImageNet), validation shots are drawn from the training images that the
    training draw left over; the training sample is the field's either way.

    Args:
        among: training images to draw from, in place of all of the split's.
        kind: how many training images of each class.
    """
    generator = random.Random(seed)  # the same sequence as random.seed(seed), without disturbing other users of it
    pool = split.train if among is None else among
    train = _draw(pool, shots, generator, kind)
    val_source: Sequence[Item] = split.val
    if not val_source:
        drawn = set(train)
        val_source = [item for item in pool if item not in drawn]
    val = _draw(val_source, min(shots, MAX_VAL_SHOTS), generator)
    return FewShotSample(tuple(train), tuple(val), sample_fingerprint(train, val))


def sample_fingerprint(train: Sequence[Item], val: Sequence[Item]) -> str:
    """That of a draw (`FewShotSample.fingerprint`)."""
    rows = ((part, item.path, item.label) for part, items in (("train", train), ("val", val)) for item in items)
    return rows_fingerprint(rows)


def _draw(items: Sequence[Item], shots: int, generator: random.Random, kind: DrawKind = "standard") -> list[Item]:
    by_label: defaultdict[int, list[Item]] = defaultdict(list)  # in order of first appearance: sorting changes the draw
    for item in items:
        by_label[item.label].append(item)
    drawn: list[Item] = []
    labels = sorted(by_label)
    counts = dict(zip(labels, images_per_class([len(by_label[k]) for k in labels], shots, kind), strict=True))
    for label, group in by_label.items():
        drawn += generator.sample(group, counts[label]) if len(group) >= counts[label] else group
    return drawn


def held_out(items: Sequence[Item], seed: int) -> Division:
    """Hold one image of every class out of a support set, drawn at random; the only image of a class stays.

    Args:
        seed: of the draw that the support set is; what is held out follows from it, by a stream of its own.
    """
    return _divided(items, {items[order[0]] for order in _shuffled(items, seed, "held out") if len(order) > 1})


def folds(items: Sequence[Item], seed: int) -> list[Division]:
    """Divide a support set for cross-validation: of every class, each image is held out once.

    There are `MOST_FOLDS` folds, or as many as the largest class has images; parts of a class differ by one image at
    most. The only image of a class is never held out: there would be none to train on.
    """
    orders = [order for order in _shuffled(items, seed, "folds") if len(order) > 1]
    count = min(MOST_FOLDS, max(map(len, orders), default=0))
    return [_divided(items, {items[row] for order in orders for row in order[fold::count]}) for fold in range(count)]


def _divided(items: Sequence[Item], held: Collection[Item]) -> Division:
    """In the order of the draw."""
    return tuple(item for item in items if item not in held), tuple(item for item in items if item in held)


def _shuffled(items: Sequence[Item], seed: int, purpose: str) -> list[list[int]]:
    """The rows of each class in random order; a stream of its own for each purpose, whoever drew before."""
    by_label: defaultdict[int, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        by_label[item.label].append(row)
    generator = random.Random(f"{purpose}/{seed}")  # a text is seeded by its SHA-512, on every platform
    return [generator.sample(rows, len(rows)) for rows in by_label.values()]


def n_base_classes(n_classes: int) -> int:
    """Base is the first half of the sorted labels, and the larger one of an odd number."""
    return (n_classes + 1) // 2


def base_to_new(items: Sequence[Item], n_classes: int) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Divide images into those of base and of new classes, the labels of each starting from 0.

    Class names divide alike: `class_names[:n]` and `class_names[n:]` with `n = n_base_classes(n_classes)`.
    """
    n_base = n_base_classes(n_classes)
    base = tuple(item for item in items if item.label < n_base)
    new = tuple(item._replace(label=item.label - n_base) for item in items if item.label >= n_base)
    return base, new
