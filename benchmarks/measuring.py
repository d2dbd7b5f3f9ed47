"""Timing things side by side, and what a benchmark reports."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Clock = Literal["wall", "cpu"]


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table."""

    key: str
    """Its name in bench.json."""
    title: str
    value: float
    unit: str
    low: float
    high: float
    """Of the repeats; equal to `value` where it was measured once or counted."""
    aim: str = ""


@dataclass(frozen=True)
class Run:
    """How much to measure."""

    repeats: int
    quick: bool
    """Tiny models and counts: shows that everything runs, and measures nothing worth quoting."""
    clock: Clock
    """`cpu` sums the time of this process's threads: what is left to measure on a machine that others use too."""
    full: bool = False
    """Every cell of the benchmarks that run a tenth of them by default."""

    def side_by_side(self, variants: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
        """Seconds of every variant, each run once to warm up and then in turns, so that a busy moment hits all."""
        return self.by_both_clocks(variants)[self.clock]

    def by_both_clocks(self, variants: Mapping[str, Callable[[], object]]) -> dict[Clock, dict[str, list[float]]]:
        """The same by the wall's clock and by the CPU's."""
        for run in variants.values():
            run()
        wall: dict[str, list[float]] = {name: [] for name in variants}
        cpu: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(self.repeats):
            for name, run in variants.items():
                start = time.perf_counter(), time.process_time()
                run()
                wall[name].append(time.perf_counter() - start[0])
                cpu[name].append(time.process_time() - start[1])
        return {"wall": wall, "cpu": cpu}


def ratio(key: str, title: str, slow: list[float], fast: list[float], aim: str = "", unit: str = "×") -> Row:
    """How many times `fast` fits into `slow`: of the medians, with the extremes over repeats."""
    single = [one / other for one, other in zip(slow, fast, strict=True)]
    return Row(key, title, statistics.median(slow) / statistics.median(fast), unit, min(single), max(single), aim)


def duration(key: str, title: str, seconds: list[float], aim: str = "") -> Row:
    return Row(key, title, statistics.median(seconds), "s", min(seconds), max(seconds), aim)


def counted(key: str, title: str, value: float, unit: str = "", aim: str = "") -> Row:
    return Row(key, title, value, unit, value, value, aim)
