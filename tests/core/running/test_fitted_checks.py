"""What `fit` may leave: faults in one line with the file and the line of `fit`, and what ships passes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dualpt.core.methods.interface import Classifier, Fitted, Images, Labelled, LinearClassifier, Support
from dualpt.core.running.fitted_checks import check_fitted, held_to_its_rules

R, N, C, D = 2, 6, 3, 5
SUPPORT = Support(Images(torch.ones(R, 1, N, D)), torch.zeros(R, N, dtype=torch.int64), torch.ones(C, D), 1.0, (1, 2))


@dataclass(frozen=True)
class Constant(Classifier):
    values: Tensor

    def logits(self, images: Images) -> Tensor:
        return self.values[:, None].expand(-1, len(images.directions), -1)


def linear(*weights: int, bias: tuple[int, ...] = (R, C)) -> Fitted:
    return Fitted(LinearClassifier(torch.ones(weights), torch.ones(bias)))


def test_what_the_interface_asks_for_passes() -> None:
    check_fitted(linear(R, C, D), SUPPORT)
    check_fitted(Fitted(Constant(torch.ones(R, C)), chosen=[{"alpha": 1}] * R, losses=[[0.5]] * R), SUPPORT)


FAULTS: list[tuple[Any, str]] = [
    (None, "fit gave a NoneType; return Fitted"),
    (linear(R, C, D).classifier, "fit gave a LinearClassifier; return Fitted"),
    (Fitted(torch.ones(R, C)), "Fitted.classifier is a Tensor"),  # type: ignore[arg-type]
    (Fitted(Constant([1.0])), "the classifier's values is a list"),  # type: ignore[arg-type]
    (linear(C, D), r"weights has shape \(3, 5\); R = 2 cells come first"),
    (linear(R, C, D, bias=(1, C)), r"bias has shape \(1, 3\); R = 2"),
    (linear(R, C, D - 1), r"weights has shape \(2, 3, 4\), expected \(2, 3, 5\)"),
    (linear(R, D, C), r"weights has shape \(2, 5, 3\), expected \(2, 3, 5\)"),
    (linear(R, C, D, bias=(R, D)), r"bias has shape \(2, 5\), expected \(2, 3\)"),
    (
        Fitted(LinearClassifier(torch.ones(R, C, D).double(), torch.ones(R, C))),
        r"weights is torch\.float64; make it torch\.float32",
    ),
    (Fitted(Constant(torch.ones(R, C - 1))), r"logits of one image have shape \(2, 1, 2\), expected .* \(2, 1, 3\)"),
    (Fitted(Constant(torch.ones(R, C, dtype=torch.int64))), r"logits are torch\.int64"),
    (Fitted(Constant(torch.ones(R, C)), losses=[[1.0]]), r"Fitted\.losses has 1 entries; one for each of the 2"),
    (Fitted(Constant(torch.ones(R, C)), chosen=[{"k": torch.ones(())}] * R), "k is a Tensor; make it a number"),
]


@pytest.mark.parametrize(("fitted", "line"), FAULTS)
def test_faults_say_what_was_found(fitted: object, line: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError), match=line):
        check_fitted(fitted, SUPPORT)


class Holder:
    """Stands for a method's one object."""

    def __init__(self) -> None:
        self.constant = 1


BROKEN_RULES: dict[str, tuple[Callable[[Holder, Support], object], str]] = {
    "state": (lambda method, _: setattr(method, "seen", 1), "fit left self.seen, and one object serves every cell"),
    "state changed": (lambda method, _: setattr(method, "constant", 2), "fit left self.constant"),
    "torch's generator": (lambda *_: torch.rand(1), "fit draws from torch's global generator"),
    "NumPy's": (lambda *_: np.random.rand(), "fit draws from NumPy's global generator"),  # noqa: NPY002
    "Python's": (lambda *_: random(), "fit draws from Python's global generator"),
    "labels": (lambda _, support: support.val and support.val.labels.fill_(0), "fit overwrites support.val"),
    "images": (lambda _, support: support.val and support.val.images.directions.zero_(), "fit overwrites support.val"),
}


@pytest.mark.parametrize("rule", BROKEN_RULES)
def test_what_would_make_results_depend_on_what_came_before(rule: str) -> None:
    fit, line = BROKEN_RULES[rule]
    val = Labelled(Images(torch.ones(R, 4, D)), torch.ones(R, 4, dtype=torch.int64))
    with (
        pytest.raises(ValueError, match=line),
        held_to_its_rules(method := Holder(), support := replace(SUPPORT, val=val)),
    ):
        fit(method, support)


def test_a_fit_that_keeps_the_rules_passes() -> None:
    with held_to_its_rules(Holder(), SUPPORT):
        torch.rand(1, generator=torch.Generator().manual_seed(1))
