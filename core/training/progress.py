"""What is told of a training while it lasts. Loads no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MOST_TOLD = 100
"""Epochs of one training on frozen features that are told at most: reading a loss waits for the device."""


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    epoch: int
    """Epochs done."""
    epochs: int
    loss: tuple[float, ...]
    """Mean loss of the epoch, by replica; NaN where there is none."""
    unit: Literal["epoch", "fit"] = "epoch"
    """What is counted: a method may fit the same images again and again instead."""


Report = Callable[[Progress], None]


def is_told(epoch: int, epochs: int, most: int = MOST_TOLD) -> bool:
    """Whether an epoch is among the `most` evenly spaced ones, the last included."""
    return (epochs - epoch) % -(-epochs // most) == 0
