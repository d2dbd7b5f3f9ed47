"""The few-shot draw behind every published number, and the base-to-new division of classes.

The draw is CoOp's: `random` seeded once, training shots first and then min(shots, 4) validation shots; classes in the
order of their first appearance in the split file; `random.sample` where a class has enough images, and all of its
images, without touching the generator, where it has not. Shots are not nested.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dualpt.core.data.splits import Item, Split
from dualpt.core.files.fingerprint import rows_fingerprint

MAX_VAL_SHOTS = 4
"""Validation images per class, at most."""


@dataclass(frozen=True)
class FewShotSample:
    """The drawn images, in the order of the draw."""

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    fingerprint: str
    """SHA-256 over (path, label) of train, then val: a seed alone does not say what was drawn."""


def draw_few_shot(split: Split, shots: int, seed: int, among: Sequence[Item] | None = None) -> FewShotSample:
    """Draw `shots` training and min(shots, 4) validation images per class.

    Where the split has no validation images (ImageNet), validation shots are drawn from the training images that the
    training draw left over; the training sample is the field's either way.

    Args:
        among: training images to draw from, in place of all of the split's.
    """
    generator = random.Random(seed)  # the same sequence as random.seed(seed), without disturbing other users of it
    pool = split.train if among is None else among
    train = _draw(pool, shots, generator)
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


def _draw(items: Sequence[Item], shots: int, generator: random.Random) -> list[Item]:
    by_label: defaultdict[int, list[Item]] = defaultdict(list)  # in order of first appearance: sorting changes the draw
    for item in items:
        by_label[item.label].append(item)
    drawn: list[Item] = []
    for group in by_label.values():
        drawn += generator.sample(group, shots) if len(group) >= shots else group
    return drawn


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
