"""SGD for R replicas in one tensor, and the field's learning-rate schedule."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class ReplicaSGD:
    """SGD with momentum and weight decay on one parameter (R, ...), with a learning rate for each replica.

    The update is `torch.optim.SGD`'s (no dampening, no Nesterov):
    `buffer = momentum * buffer + gradient + weight_decay * p`, then `p -= learning_rate * buffer`.
    """

    def __init__(self, parameter: Tensor, *, momentum: float, weight_decay: float) -> None:
        self.parameter = parameter
        self.buffer = torch.zeros_like(parameter, requires_grad=False)
        self._momentum = momentum
        self._weight_decay = weight_decay

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: Tensor) -> None:
        """Update from a gradient of the parameter's shape (R, ...), with learning rates (R,)."""
        self.buffer.mul_(self._momentum).add_(gradient).add_(self.parameter, alpha=self._weight_decay)
        shape = (-1, *[1] * (self.parameter.ndim - 1))
        self.parameter.addcmul_(self.buffer, learning_rate.view(shape), value=-1)


def learning_rates(base: Sequence[float], epoch: int, epochs: int, warmup: float) -> list[float]:
    """CoOp's schedule, by epoch: `warmup` at epoch 0, then base / 2 * (1 + cos(pi * (epoch - 1) / epochs)).

    The cosine is one epoch late and does not reach zero, as in CoOp's combination of its two schedulers.
    """
    if epoch == 0:
        return [warmup] * len(base)
    factor = (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2
    return [rate * factor for rate in base]
