"""Options chosen on validation images, for R cells at once, and the checks of data that several methods share.

Shapes: R cells, M validation images, C classes, A candidate weights.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dualpt.core.errors import UserError
from dualpt.core.methods.interface import Labelled, MethodOptions, Support


def validation_images(support: Support, undecided: Sequence[str], advice: str) -> Labelled:
    """The images that `undecided` options, by their full keys, are chosen on.

    Args:
        advice: what their authors set where nothing is searched.

    Raises:
        UserError: there are none.
    """
    if support.val is None or not support.val.labels.shape[1]:
        them = "it" if len(undecided) == 1 else "them"
        raise UserError(f"no validation images to choose {' and '.join(undecided)} on; set {them} ({advice})")
    return support.val


def chosen(options: MethodOptions, used: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Per cell, what was used for the options that are left undecided; empty where none is."""
    undecided = [name for name in used[0] if getattr(options, name) is None]
    return [{name: cell[name] for name in undecided} for cell in used] if undecided else []


def check_classes(support: Support, method: str) -> None:
    """Raise UserError unless there are two classes or more."""
    if len(support.raw_text) < 2:
        raise UserError(f"{method} tells classes apart, and there is only one")


def check_every_class(support: Support, method: str) -> None:
    """Raise UserError unless there are two classes or more, each with a training image in every cell."""
    check_classes(support, method)
    counts = class_counts(support)
    if (counts == 0).any():
        r, c = (counts == 0).nonzero()[0].tolist()
        raise UserError(f"{method} needs an image of every class; number {c} of seed {support.seeds[r]} has none")


def class_counts(support: Support) -> Tensor:
    """(R, C) float32: how many training images each class has."""
    return support.one_hot.sum(1)


def hits_by_weight(base: Tensor, addition: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """How many images `base + weight * addition` classifies correctly, for every weight.

    An image's own class scores highest within one interval of weights, so a grid costs about as much as one weight. A
    tie of scores counts as an error.

    Args:
        base: (..., M, C) logits.
        addition: (..., M, C)
        labels: (..., M)
        weights: (A,), ascending.

    Returns:
        (..., A) int64
    """
    base, addition = torch.broadcast_tensors(base, addition)
    own = labels.expand(base.shape[:-1])[..., None]
    lead = (base - base.gather(-1, own)).scatter(-1, own, -1.0)
    slope = addition.gather(-1, own) - addition
    crossing = lead / slope  # infinite at slope 0, and not a number at a tie for every weight
    never = torch.full_like(crossing, torch.inf)
    above = crossing.where(slope >= 0, -never).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf).amax(-1)
    below = crossing.where(slope < 0, never).amin(-1)
    # every image counts from the first weight inside its interval up to the first one beyond it
    first = torch.searchsorted(weights, above, right=True)
    stop = torch.searchsorted(weights, below).maximum(first)
    steps = torch.zeros(*first.shape[:-1], len(weights) + 1, dtype=torch.int64, device=first.device)
    ones = torch.ones_like(first)
    return steps.scatter_add(-1, first, ones).scatter_add(-1, stop, -ones).cumsum(-1)[..., :-1]


def first_best(hits: Tensor) -> list[tuple[int, ...]]:
    """Per cell, the index of the most hits; of equal ones the first, as in a loop that keeps what is strictly better.

    Args:
        hits: (R, *grid)
    """
    grid = hits.shape[1:]
    best = hits.flatten(1).cpu().argmax(1)
    return [tuple(int(i) for i in torch.unravel_index(index, grid)) for index in best]
