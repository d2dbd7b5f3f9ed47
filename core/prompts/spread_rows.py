"""Context rows at all places where prompts hold them, with a gradient whose sums run in a fixed order.

The gradient of `index_select` is added up atomically on a GPU, in whatever order threads arrive: where a row stands at
several places, as with the class name in front, the same step would give other bits every time.

Shapes: M contexts, n rows of a context, S places, W width.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F


class RowSpreader:
    """Spreads the rows of a context over places.

    Args:
        rows: (S,) int64, which of the n rows each place holds, on the device of the contexts.
    """

    def __init__(self, rows: Tensor) -> None:
        self._rows = rows
        repeated = rows.device.type == "cuda" and len(rows.unique()) < len(rows)
        self._places = places_of(rows) if repeated else None
        """None where the order of sums is fixed anyway."""

    def __call__(self, contexts: Tensor) -> Tensor:
        """(M, n, W) -> (M, S, W), differentiable."""
        if self._places is None:
            return contexts.index_select(1, self._rows)
        return cast(Tensor, _Spread.apply(contexts, self._rows, self._places))


def places_of(rows: Tensor) -> Tensor:
    """(S,) -> (n, most): places of each row, S beyond its own."""
    counts = rows.bincount()
    order = rows.argsort(stable=True)
    first = counts.cumsum(0) - counts
    column = torch.arange(int(counts.max()), device=rows.device)
    padded = torch.cat([order, order.new_full((len(column),), len(rows))])
    places = padded[(first[:, None] + column).clamp(max=len(rows))]
    return places.where(column < counts[:, None], len(rows))


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, contexts: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.n_rows = contexts.shape[1]
        return contexts.index_select(1, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        with_zeros = F.pad(gradients[0], (0, 0, 0, 1))
        summed = with_zeros[:, places].sum(2)
        return F.pad(summed, (0, 0, 0, ctx.n_rows - len(places))), None, None
