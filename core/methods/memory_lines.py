"""Problems of a batch laid out so that products and sums round each as they round it alone.

A matrix product rounds by where its factors and its result begin within a line of memory (64 bytes). In a batch that
differs from problem to problem, unless each fills whole lines; zeros fill them up here. A sum of a whole tensor is
shared out among threads, and sums of several rows are not.
"""

import torch
from torch import Tensor

LINE = 16
"""Numbers in single precision that a line holds; in double precision they take two."""

SHARED = 2**15
"""Numbers from which on threads share the sum of a whole tensor."""


def whole(n: int) -> int:
    """The least multiple of `LINE` that is n or more."""
    return -(-n // LINE) * LINE


def filled(tensor: Tensor, *dims: int) -> Tensor:
    """With zeros at the end of these dimensions, up to whole lines; the same tensor where they are whole."""
    missing = {dim % tensor.dim(): whole(tensor.shape[dim]) - tensor.shape[dim] for dim in dims}
    if not any(missing.values()):
        return tensor
    widths = [width for dim in reversed(range(tensor.dim())) for width in (0, missing.get(dim, 0))]
    return torch.nn.functional.pad(tensor, widths)


def sums(rows: Tensor) -> Tensor:
    """Of rows (P, n): (P)."""
    if rows.shape[1] < SHARED:
        return rows.sum(dim=1)
    return filled(rows, 1).view(len(rows), LINE, -1).sum(dim=2).sum(dim=1)
