"""A method's `fit` and what it left, checked against the interface before anything is classified with it.

Shapes: R cells, n images, C classes, D joint width.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualpt.core.methods.interface import Classifier, Fitted, LinearClassifier, Support


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
    if type(fitted.classifier) is LinearClassifier:  # one that extends it may read its weights otherwise
        _check_linear(fitted.classifier, support)
    for name in ("chosen", "losses", "failures"):
        _check_length(name, getattr(fitted, name), n_cells)
    for key, value in (pair for chosen in fitted.chosen for pair in chosen.items()):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"Fitted.chosen: {key} is a {type(value).__name__}; make it a number")
    _check_logits(fitted.classifier, support)


def _check_linear(classifier: LinearClassifier, support: Support) -> None:
    directions = support.images.directions
    n_classes, width = len(support.raw_text), directions.shape[-1]
    expected = {"weights": (n_classes, width), "bias": (n_classes,)}
    for name, tensor in classifier.tensors().items():
        if tuple(tensor.shape[1:]) != expected[name]:
            shape = (len(support.labels), *expected[name])
            raise ValueError(f"the classifier's {name} has shape {tuple(tensor.shape)}, expected {shape}")
        if tensor.dtype != directions.dtype:
            raise TypeError(f"the classifier's {name} is {tensor.dtype}; make it {directions.dtype}, like the features")


@contextmanager
def held_to_its_rules(method: object, support: Support) -> Iterator[None]:
    """Refuse a `fit` by which a cell's numbers would depend on what else was computed, or on what it changed.

    Raises:
        ValueError: it keeps something in the method, draws from a global generator, or overwrites what its validation
            accuracy is measured on.
    """
    kept, drawn, held = dict(vars(method)), _global_generators(), _versions(support)
    yield
    for name, value in vars(method).items():
        if name not in kept or kept[name] is not value:
            raise ValueError(f"fit left self.{name}, and one object serves every cell; keep it in a variable of fit")
    for package, state in _global_generators().items():
        if state != drawn[package]:
            raise ValueError(
                f"fit draws from {package}'s global generator, so its numbers can't be computed again; draw with "
                "random_stream(seed, purpose) of dualpt.core.random_streams for each of support.seeds"
            )
    if _versions(support) != held:
        raise ValueError("fit overwrites support.val, by which it is judged; work on a clone")


def _global_generators() -> dict[str, object]:
    """States of the generators that every piece of code shares, by package."""
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    states: dict[str, object] = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "NumPy": (numpy_state["state"]["pos"], numpy_state["state"]["key"].tobytes()),
        "Python": random.getstate(),
    }
    if torch.cuda.is_initialized():
        states["torch (CUDA)"] = torch.cuda.get_rng_state().numpy().tobytes()
    return states


def _versions(support: Support) -> list[int]:
    """How often each tensor of the validation images was written to."""
    if support.val is None:
        return []
    images = support.val.images
    tensors = (support.val.labels, images.directions, images.norms, images.hidden)
    return [tensor._version for tensor in tensors if tensor is not None]


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
