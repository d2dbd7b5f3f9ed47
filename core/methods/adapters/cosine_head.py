"""Heads whose rows are compared with image features by their cosine, so a row's length changes only how far it moves.

Shapes: R replicas, B images, C classes, D joint width.
"""

import torch
from torch import Tensor

from dualpt.core.methods.interface import LinearClassifier


def cosine_logits(directions: Tensor, prototypes: Tensor, scale: float) -> Tensor:
    """scale * cos(f, w): (R, B, C), of normalised features (R, B, D) and prototypes (R, C, D)."""
    factors: Tensor = scale / prototypes.norm(dim=-1)
    return torch.bmm(directions, prototypes.mT) * factors[:, None]


def cosine_classifier(prototypes: Tensor, scale: float) -> LinearClassifier:
    """The same logits as a linear classifier."""
    prototypes = prototypes.detach()
    return LinearClassifier(
        weights=scale * torch.nn.functional.normalize(prototypes, dim=-1),
        bias=prototypes.new_zeros(prototypes.shape[:2]),
    )
