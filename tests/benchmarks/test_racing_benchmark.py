"""The racing benchmark on its recorded results: whole, and with races that save what they say."""

import statistics
from pathlib import Path

import pytest

from benchmarks.racing import GOOD, RESULTS, SWEEP, read_results, replayed, table
from dualpt.search_spaces.sweep_file import load_sweep


def test_the_recorded_results_are_whole() -> None:
    recorded = read_results()
    assert len(recorded.results) == 96
    places = {place for each in recorded.results.values() for place in each}
    assert len(places) == 11 * 2
    assert all(set(each) == places for each in recorded.results.values())
    assert all(
        0 <= accuracy <= 100 and seconds > 0 for e in recorded.results.values() for accuracy, seconds in e.values()
    )
    assert Path(RESULTS).stat().st_size < 200_000


def test_asha_finds_a_good_pick_for_a_part_of_the_compute() -> None:
    recorded, sweep = read_results(), load_sweep(SWEEP)
    asha = [replayed(recorded, sweep, "asha (race_reduction 3)", seed, workers=1) for seed in range(3)]
    assert all(one.regret <= GOOD for one in asha)
    assert statistics.fmean(one.share for one in asha) < 0.5
    assert statistics.median(one.good_from for one in asha) <= 0.25
    whole = replayed(recorded, sweep, "none: every candidate complete", 0, workers=1)
    assert whole.share == pytest.approx(1)
    assert whole.regret == 0
    assert "| asha (race_reduction 3) |" in table({"asha (race_reduction 3)": asha}, 1)
