"""The simulation behind the coverage in docs/protocols.md gives what a t interval's own coverage confirms."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import interval_coverage
from benchmarks.statistics.false_claims import Spread, normal
from benchmarks.statistics.interval_coverage import SHAPES, coverage, tied


@pytest.mark.parametrize("shape", SHAPES)
def test_the_interval_holds_the_truth_about_as_often_as_it_says(shape: str) -> None:
    assert 0.87 <= coverage(300, 11, 3, Spread(3.5, 3.8), SHAPES[shape]) <= 0.99


def test_differences_are_of_two_methods_whose_truth_is_nought(monkeypatch: pytest.MonkeyPatch) -> None:
    """By t intervals of the datasets' means, which are exact for normal differences, coverage is 95 %."""

    def by_t(values: np.ndarray) -> object:
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values.mean(axis=1)))
        return type("Interval", (), {"low": low, "high": high})

    monkeypatch.setattr(interval_coverage, "hierarchical_interval", by_t)
    assert coverage(2000, 8, 3, Spread(3.5, 3.8), normal) == pytest.approx(0.95, abs=0.02)


def test_tied_deviates_tie() -> None:
    drawn = tied(np.random.default_rng(1), (200,))
    assert len(set(drawn.tolist())) < 20
    assert 0.1 < (drawn == 0).mean() < 0.3
