"""SGD for R replicas in one tensor, and the field's learning-rate schedule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SGDOptions:
    """How contexts are stepped; fields are the configuration's keys under `optim`, with the recipe resolved."""

    learning_rate: Sequence[float]
    """One per replica, after the warm-up epoch."""
    momentum: float
    weight_decay: float
    warmup_learning_rate: float
    """Constant rate of epoch 0."""


class ReplicaSGD:
    """SGD with momentum and weight decay on one parameter (R, ...), with a learning rate for each replica.

    The update is `torch.optim.SGD`'s (no dampening, no Nesterov):
    `buffer = momentum * buffer + gradient + weight_decay * p`, then `p -= learning_rate * buffer`.

    Args:
        parameter: (R, ...), updated in place.
        epochs: Length of the schedule.

    Raises:
        ValueError: not one learning rate per replica.
    """

    def __init__(self, parameter: Tensor, options: SGDOptions, epochs: int) -> None:
        if len(options.learning_rate) != len(parameter):
            raise ValueError("optim.learning_rate needs one value per replica")
        self.parameter = parameter
        self.buffer = torch.zeros_like(parameter, requires_grad=False)
        self._options = options
        self._epochs = epochs
        self._rate = torch.zeros(len(parameter), *[1] * (parameter.ndim - 1), device=parameter.device)
        """(R, 1, ...), the epoch's learning rates; filled in place, since a CUDA graph reads them where they are."""

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates of an epoch, counted from 0."""
        base, warmup = self._options.learning_rate, self._options.warmup_learning_rate
        rates = torch.tensor(learning_rates(base, epoch, self._epochs, warmup))
        self._rate.copy_(rates.view(self._rate.shape))

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Update from a gradient of the parameter's shape (R, ...)."""
        momentum, weight_decay = self._options.momentum, self._options.weight_decay
        self.buffer.mul_(momentum).add_(gradient).add_(self.parameter, alpha=weight_decay)
        self.parameter.addcmul_(self.buffer, self._rate, value=-1)


def learning_rates(base: Sequence[float], epoch: int, epochs: int, warmup: float) -> list[float]:
    """CoOp's schedule, by epoch: `warmup` at epoch 0, then base / 2 * (1 + cos(pi * (epoch - 1) / epochs)).

    The cosine is one epoch late and does not reach zero, as in CoOp's combination of its two schedulers.
    """
    if epoch == 0:
        return [warmup] * len(base)
    factor = (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2
    return [rate * factor for rate in base]
