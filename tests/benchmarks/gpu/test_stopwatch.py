"""Medians and shares, by a clock that ticks as the test says."""

from itertools import count

import pytest
import torch

from benchmarks.gpu.stopwatch import HostClock, ImpossibleShareError, Timer

CPU = torch.device("cpu")


class Takes:
    """Calls that take the seconds given, one after the other and from the first again."""

    def __init__(self, *seconds):
        self.seconds = seconds

    def each(self, run, repeats):
        for _ in range(repeats):
            run()
        return [self.seconds[i % len(self.seconds)] for i in range(repeats)]


def test_the_host_clock_times_each_call_alone():
    ticks = count()
    assert HostClock(lambda: float(next(ticks) ** 2)).each(lambda: None, 3) == [1.0, 5.0, 9.0]


def test_the_rate_is_of_a_square_product_and_a_median_after_the_warm_up():
    timer = Timer(CPU, torch.float32, repeats=3, stopwatch=Takes(9.0, 9.0, 9.0, 4.0, 2.0, 3.0), size=8)
    assert timer.rate_flops == 2 * 8**3
    assert timer.rate == 2 * 8**3 / 3.0
    assert timer.seconds(lambda: None) == 3.0


def test_calls_are_timed_in_turns():
    order = []
    timer = Timer(CPU, torch.float32, repeats=1, stopwatch=Takes(1.0), size=8, warm_up=0, rounds=2)
    timer.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert order == ["a", "b", "a", "b"]


def test_a_share_above_the_measured_rate_is_refused():
    timer = Timer(CPU, torch.float32, repeats=1, stopwatch=Takes(1.0), size=8)
    assert timer.share(512, 1.0) == 0.5
    assert timer.share(1024, 1.0) == 1.0
    with pytest.raises(ImpossibleShareError, match=r"are 200% of the measured rate .* one of the three is wrong"):
        timer.share(2048, 1.0)
