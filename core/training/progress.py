"""What a training reports while it runs. Loads no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MOST_REPORTS = 100
"""Reports of one training on frozen features, at most: reading a loss waits for the device."""


@dataclass(frozen=True)
class Progress:
    """How far training is."""

    epoch: int
    """Epochs done."""
    epochs: int
    loss: tuple[float, ...]
    """Mean loss of the epoch, by replica; NaN where there is none."""
    unit: Literal["epoch", "fit"] = "epoch"
    """What is counted: a method may fit the same images again and again instead."""


Report = Callable[[Progress], None]


def is_reported(epoch: int, epochs: int, most: int = MOST_REPORTS) -> bool:
    """Whether an epoch is among the `most` evenly spaced ones, the last included."""
    return (epochs - epoch) % -(-epochs // most) == 0
