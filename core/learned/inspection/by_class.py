"""How well each class is classified, and what another classifier makes of the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dualpt.core.learned.inspection.confusion import Judgement


@dataclass(frozen=True)
class ClassAccuracy:
    """One class of a test set. Accuracies are in percent."""

    name: str
    n_images: int
    accuracy: float
    other: float | None
    """Of the classifier that is held beside; None without one."""


@dataclass(frozen=True)
class Agreement:
    """How many images of a test set two classifiers are right about; the four add up to all."""

    both: int
    first_alone: int
    second_alone: int
    neither: int


def class_accuracies(judged: Judgement, other: Judgement | None, names: Sequence[str]) -> list[ClassAccuracy]:
    """Every class that has images, the least accurate first, of equal ones in the order of labels.

    Args:
        other: another classifier's judgement of the same images.
        names: of the classes, by label.
    """
    totals = torch.bincount(judged.labels, minlength=len(names)).tolist()
    own = _hits_by_class(judged, len(names))
    beside = None if other is None else _hits_by_class(other, len(names))
    found = [
        ClassAccuracy(
            name,
            totals[label],
            100 * own[label] / totals[label],
            None if beside is None else 100 * beside[label] / totals[label],
        )
        for label, name in enumerate(names)
        if totals[label]
    ]
    return sorted(found, key=lambda one: one.accuracy)


def agreement(first: Judgement, second: Judgement) -> Agreement:
    """Which images each of two classifiers is right about; both judge the same images."""
    one, two = first.predictions == first.labels, second.predictions == second.labels
    counts = [(one & two), (one & ~two), (~one & two), (~one & ~two)]
    return Agreement(*(int(count.sum()) for count in counts))


def _hits_by_class(judged: Judgement, n_classes: int) -> list[int]:
    right = judged.labels[judged.predictions == judged.labels]
    return [int(count) for count in torch.bincount(right, minlength=n_classes)]
