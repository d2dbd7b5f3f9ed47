"""Two gradients of the same contexts: the one that is followed, without what it would undo of the other."""

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def without_conflict(gradient: Tensor, kept: Tensor, share: Tensor) -> Tensor:
    """What of `gradient` doesn't conflict with `kept`: ProGrad's projection (arXiv 2205.14865).

    Where the two point more than 90 degrees apart, a step along the first would raise the loss whose gradient the
    second is: the component along it is taken out. With a share of 1 the rest is orthogonal to `kept`. Each replica's
    contexts are one vector, as the authors' one parameter is; nothing passes between replicas.

    Args:
        gradient, kept: (R, ...).
        share: How much of the conflicting component is taken out (R,); the authors' lambda.

    Returns:
        (R, ...)
    """
    followed, direction = gradient.flatten(1), F.normalize(kept.flatten(1), dim=1)
    conflict = (followed * direction).sum(1).clamp(max=0)
    return (followed - (share * conflict)[:, None] * direction).view_as(gradient)
