"""What `fit` may leave: faults in one line with the file and the line of `fit`, and what ships passes."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from dualpt.core.methods.interface import Classifier, Fitted, Images, LinearClassifier, Support
from dualpt.core.running.fitted_checks import check_fitted

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
    (linear(R, C, D - 1), "size 4"),
    (linear(R, C - 1, D, bias=(R, C - 1)), r"logits of one image have shape \(2, 1, 2\), expected .* \(2, 1, 3\)"),
    (Fitted(Constant(torch.ones(R, C, dtype=torch.int64))), r"logits are torch\.int64"),
    (Fitted(Constant(torch.ones(R, C)), losses=[[1.0]]), r"Fitted\.losses has 1 entries; one for each of the 2"),
    (Fitted(Constant(torch.ones(R, C)), chosen=[{"k": torch.ones(())}] * R), "k is a Tensor; make it a number"),
]


@pytest.mark.parametrize(("fitted", "line"), FAULTS)
def test_faults_say_what_was_found(fitted: object, line: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError), match=line):
        check_fitted(fitted, SUPPORT)
