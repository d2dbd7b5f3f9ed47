"""Classes by accuracy, and two classifiers of the same images, on logits whose answers are known."""

import torch

from dualpt.core.learned.inspection.by_class import Agreement, ClassAccuracy, agreement, class_accuracies
from dualpt.core.learned.inspection.confusion import Judgement

LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 3])
OURS = Judgement(torch.eye(4)[[0, 0, 0, 1, 1, 0, 3]], LABELS)
THEIRS = Judgement(torch.eye(4)[[0, 1, 1, 1, 1, 1, 0]], LABELS)


def test_classes_come_by_accuracy_and_those_without_images_are_left_out() -> None:
    assert class_accuracies(OURS, THEIRS, ("a", "b", "c", "d")) == [
        ClassAccuracy("b", 2, 50.0, 100.0),
        ClassAccuracy("a", 4, 75.0, 25.0),
        ClassAccuracy("d", 1, 100.0, 0.0),
    ]
    assert [one.other for one in class_accuracies(OURS, None, ("a", "b", "c", "d"))] == [None, None, None]


def test_images_are_counted_by_who_is_right() -> None:
    assert agreement(OURS, THEIRS) == Agreement(both=2, first_alone=3, second_alone=1, neither=1)
