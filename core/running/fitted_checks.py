"""What a method's `fit` left, held against what the interface says, before anything is classified with it.

Shapes: R cells, n images, C classes, D joint width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dualpt.core.methods.interface import Classifier, Fitted, Support


def check_fitted(fitted: object, support: Support) -> None:
    """Refuse what isn't a `Fitted` of all cells of the pack.

    Raises:
        TypeError: another object, or a classifier with fields that are no tensors.
        ValueError: tensors or lists that aren't of R cells, or logits that aren't (R, n, C).
    """
    n_cells = len(support.labels)
    if not isinstance(fitted, Fitted):
        raise TypeError(f"fit gave a {type(fitted).__name__}; return Fitted(classifier)")
    if not isinstance(fitted.classifier, Classifier):
        raise TypeError(f"Fitted.classifier is a {type(fitted.classifier).__name__}; make it a Classifier")
    for name, tensor in fitted.classifier.tensors().items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"the classifier's {name} is a {type(tensor).__name__}; make it a tensor")
        if tensor.ndim == 0 or len(tensor) != n_cells:
            raise ValueError(f"the classifier's {name} has shape {tuple(tensor.shape)}; R = {n_cells} cells come first")
    for name in ("chosen", "losses", "failures"):
        _check_length(name, getattr(fitted, name), n_cells)
    for key, value in (pair for chosen in fitted.chosen for pair in chosen.items()):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"Fitted.chosen: {key} is a {type(value).__name__}; make it a number")
    _check_logits(fitted.classifier, support)


def _check_length(name: str, values: Sequence[object], n_cells: int) -> None:
    if values and len(values) != n_cells:
        raise ValueError(f"Fitted.{name} has {len(values)} entries; one for each of the {n_cells} cells, or none")


def _check_logits(classifier: Classifier, support: Support) -> None:
    """By one training image: a wrong width or a class that is missing shows in any."""
    n_cells, n_classes = len(support.labels), len(support.raw_text)
    logits = classifier.logits(support.images.at(0).at(0).at(torch.tensor([0])))
    if tuple(logits.shape) != (n_cells, 1, n_classes):
        expected = f"(R, n, C) = {(n_cells, 1, n_classes)}"
        raise ValueError(f"the classifier's logits of one image have shape {tuple(logits.shape)}, expected {expected}")
    if not logits.is_floating_point():
        raise ValueError(f"the classifier's logits are {logits.dtype}; make them floating-point")
