"""How long work on a device takes, and which share of the device's matrix rate that is.

A GPU is timed by its own events: the host's clock would count what launching a kernel takes, which for a short product
is more than the product.
"""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import torch

MATRIX = {"cuda": 8192, "cpu": 1024}
"""Rows and columns of the product by which a device's rate is measured: large enough to fill it."""


class ImpossibleShareError(Exception):
    """A share above 100 %: the rate or the operations are counted wrongly, and no figure of the run can be trusted."""


class Stopwatch(Protocol):
    def each(self, run: Callable[[], object], repeats: int) -> list[float]:
        """Seconds of each of `repeats` calls, one after the other."""
        ...


class HostClock:
    """Times work that is done when the call returns.

    Args:
        now: Seconds since some moment.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now

    def each(self, run: Callable[[], object], repeats: int) -> list[float]:
        seconds = []
        for _ in range(repeats):
            start = self._now()
            run()
            seconds.append(self._now() - start)
        return seconds


class DeviceEvents:
    """Times work on the current CUDA device, back to back as a trainer queues it."""

    def each(self, run: Callable[[], object], repeats: int) -> list[float]:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        events[0].record()
        for event in events[1:]:
            run()
            event.record()
        torch.cuda.synchronize()
        return [before.elapsed_time(after) / 1000 for before, after in pairwise(events)]


def stopwatch_of(device: torch.device) -> Stopwatch:
    return DeviceEvents() if device.type == "cuda" else HostClock()


class Timer:
    """Medians of repeated calls, and their share of the device's matrix rate.

    Args:
        device: Where products run.
        dtype: Their number format.
        repeats: Calls timed, after `warm_up` that are not.
        rounds: Of calls that are timed in turns.
        size: Rows and columns of the product that measures the rate; None takes the device's of `MATRIX`.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        *,
        repeats: int,
        stopwatch: Stopwatch | None = None,
        size: int | None = None,
        warm_up: int = 3,
        rounds: int = 3,
    ) -> None:
        self._stopwatch, self._repeats = stopwatch or stopwatch_of(device), repeats
        self._warm_up, self._rounds = warm_up, rounds
        self.size = size or MATRIX.get(device.type, MATRIX["cpu"])
        a, b = (torch.randn(self.size, self.size, device=device).to(dtype) for _ in range(2))
        self.rate = self.rate_flops / self.seconds(lambda: a @ b)
        """Floating-point operations a second in the product of two square matrices."""

    @property
    def rate_flops(self) -> int:
        """Operations of that product: a multiplication and an addition for each of size³ terms."""
        return 2 * self.size**3

    def seconds(self, run: Callable[[], object]) -> float:
        """Median seconds of a call."""
        return statistics.median(self._stopwatch.each(run, self._warm_up + self._repeats)[self._warm_up :])

    def in_turns(self, runs: dict[str, Callable[[], object]]) -> dict[str, float]:
        """Medians over rounds, in each of which every call is timed: a device that slows down slows all of them."""
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(self._rounds):
            for name, run in runs.items():
                found[name].append(self.seconds(run))
        return {name: statistics.median(seconds) for name, seconds in found.items()}

    def share(self, flops: int, seconds: float) -> float:
        """The share of the matrix rate that `flops` in `seconds` are, 0..1.

        Raises:
            ImpossibleShareError: it is above 1.
        """
        share = flops / seconds / self.rate
        if share > 1:
            raise ImpossibleShareError(
                f"{flops:.3g} FLOPs in {1000 * seconds:.3g} ms are {share:.0%} of the measured rate of "
                f"{self.rate / 1e12:.3g} TFLOP/s: one of the three is wrong"
            )
        return share
