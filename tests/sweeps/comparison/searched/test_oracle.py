"""What selection on test would have given: the best of the same candidates by test, on the same cells."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, VAL_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.frames import LAUNCH_STATUS
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.searched.oracle import MEANING, PER_DATASET, oracle_table

DATASETS, SEEDS, SHOTS = ("own-a", "own-b", "own-c"), (1, 2), (1, 4)
TESTS = {"trial-001": 0.0, "trial-002": 5.0, "trial-003": 1.0}
"""Candidate -> what it is worth on test; `trial-001` validates best."""


def metrics(trial: str, dataset: str, shots: int, seed: int) -> dict[str, float]:
    noise = np.random.default_rng([DATASETS.index(dataset), shots, seed, int(trial[-1])]).normal()
    test = 50 + TESTS[trial] + shots + noise + (9 if (trial, dataset) == ("trial-003", "own-c") else 0)
    val = 70 - int(trial[-1]) + (8 if (trial, dataset) == ("trial-003", "own-b") else 0)
    return {VAL_ACCURACY: float(val), TEST_ACCURACY: test, "test/ece": 20 - TESTS[trial]}


def row(trial: str, kind: str, dataset: str, shots: int, seed: int, **more: Any) -> dict[str, Any]:
    candidate = "trial-001" if kind == "best" else trial
    key = f"{candidate} {dataset} {shots} {seed}"
    place = {"dataset": dataset, "protocol": "few-shot", "shots": shots, "seed": seed, "status": "FINISHED"}
    return {
        "sweep": "s",
        "trial": trial,
        "kind": kind,
        **place,
        "key": key,
        **metrics(candidate, *key_place(place)),
        **more,
    }


def key_place(place: dict[str, Any]) -> tuple[str, int, int]:
    return place["dataset"], place["shots"], place["seed"]


def frame(judged: tuple[str, ...] = DATASETS, candidates: tuple[str, ...] = tuple(TESTS)) -> pd.DataFrame:
    """Candidates judged at both seeds and shots on some of the datasets, and the selected one over the whole grid."""
    cells = [
        row(trial, kind, dataset, shots, seed)
        for trial, kind in [*((candidate, "search") for candidate in candidates), ("best", "best")]
        for dataset in (judged if kind == "search" else DATASETS)
        for shots in SHOTS
        for seed in SEEDS
    ]
    return pd.DataFrame(cells)


def by_place(table: PlainTable) -> dict[tuple[Any, Any], dict[str, Any]]:
    return {(record["shots"], record["selected"]): dict(record) for record in table.records}


def mean(cells: pd.DataFrame, trial: str, shots: int, metric: str = TEST_ACCURACY) -> float:
    return float(cells.loc[(cells["trial"] == trial) & (cells["shots"] == shots), metric].mean())


@pytest.mark.parametrize("judged", [DATASETS, DATASETS[:2]])
def test_the_oracle_is_the_best_candidate_on_test_on_the_cells_that_candidates_share(judged: tuple[str, ...]) -> None:
    cells = frame(judged)
    found = by_place(oracle_table({"s": cells}, metric=TEST_ACCURACY))
    for shots in SHOTS:
        one = found[shots, "one setting"]
        assert one["honest.mean"] == pytest.approx(mean(cells[cells["kind"] == "search"], "trial-001", shots))
        assert one["oracle.mean"] == pytest.approx(mean(cells, "trial-002", shots))
        assert one["gap.mean"] == pytest.approx(one["oracle.mean"] - one["honest.mean"])
        assert (one["candidates"], one["n"]) == (3, 2)


def test_per_dataset_both_sides_choose_for_each_dataset() -> None:
    cells = frame()
    found = by_place(oracle_table({"s": cells}, metric=TEST_ACCURACY))[4, PER_DATASET]
    at = cells[(cells["kind"] == "search") & (cells["shots"] == 4)].groupby(["trial", "dataset"])[TEST_ACCURACY].mean()
    honest = [at["trial-001", "own-a"], at["trial-003", "own-b"], at["trial-001", "own-c"]]
    oracle = [at["trial-002", "own-a"], at["trial-002", "own-b"], at["trial-003", "own-c"]]
    assert found["honest.mean"] == pytest.approx(np.mean(honest))
    assert found["oracle.mean"] == pytest.approx(np.mean(oracle))


def test_where_lower_is_better_the_oracle_has_the_lowest() -> None:
    found = by_place(oracle_table({"s": frame()}, metric="test/ece"))[4, "one setting"]
    assert (found["honest.mean"], found["oracle.mean"]) == (20.0, 15.0)


def test_h_is_of_averages_as_in_tables() -> None:
    cells = frame().assign(protocol="base-to-new")
    cells[BASE_ACCURACY], cells[NEW_ACCURACY] = cells[TEST_ACCURACY], 100 - cells[TEST_ACCURACY] * 0.7
    cells[HARMONIC_MEAN] = [
        harmonic_mean(*halves) for halves in zip(cells[BASE_ACCURACY], cells[NEW_ACCURACY], strict=True)
    ]
    found = by_place(oracle_table({"s": cells}, metric=HARMONIC_MEAN))[1, "one setting"]
    own = cells[(cells["trial"] == "trial-001") & (cells["shots"] == 1)]
    halves = own.groupby("seed")[[BASE_ACCURACY, NEW_ACCURACY]].mean()
    assert found["honest.mean"] == pytest.approx(np.mean([harmonic_mean(*pair) for pair in halves.to_numpy()]))


def test_searched_shots_have_a_gap_each_among_their_own_candidates() -> None:
    cells = frame()
    cells = cells[(cells["kind"] == "best") | (cells["shots"] == 1) | (cells["trial"] != "trial-002")]
    cells.loc[cells["kind"] == "best", "trial"] = [
        f"best-{shots}-shot" for shots in cells.loc[cells["kind"] == "best", "shots"]
    ]
    found = {
        (record["search"], record["shots"]): record
        for record in oracle_table({"s": cells}, metric=TEST_ACCURACY).records
    }
    assert [record["candidates"] for record in found.values()] == [3, 2]
    assert set(found) == {("best of the sweep (1 shot)", 1), ("best of the sweep (4 shots)", 4)}


def test_candidates_that_a_race_gave_up_take_no_part() -> None:
    cells = frame()
    given_up = (cells["trial"] == "trial-002") & (cells["dataset"] == "own-c")
    cells.loc[given_up, "status"] = "KILLED"
    table = oracle_table({"s": cells}, metric=TEST_ACCURACY)
    assert {record["candidates"] for record in table.records} == {2}


def test_words_say_what_it_means_and_sweeps_are_told_apart() -> None:
    table = oracle_table({name: frame().assign(sweep=name) for name in "ab"}, metric=TEST_ACCURACY)
    assert MEANING in table.notes()
    assert {line[0] for line in table.rows} == {"best of the sweep [a]", "best of the sweep [b]"}


def refused(cells: pd.DataFrame, said: str, metric: str = TEST_ACCURACY) -> None:
    with pytest.raises(UserError, match=said) as fault:
        oracle_table({"s": cells}, metric=metric)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("status", ["RUNNING", "KILLED"])
def test_an_unfinished_sweep_is_refused(status: str) -> None:
    cells = frame()
    cells.attrs[LAUNCH_STATUS] = status
    refused(cells, "--oracle: sweep 's' is unfinished")


def test_a_whole_grid_cell_that_never_began_is_refused() -> None:
    cells = frame()
    cells.loc[cells["kind"] == "best", "status"] = "MISSING"
    refused(cells, r"unfinished \(never begun\)")


def test_a_sweep_that_searched_nothing_is_refused() -> None:
    refused(frame(candidates=("trial-001",)), "searched nothing")
    refused(frame(candidates=()), "searched nothing")


def test_metrics_that_say_nothing_of_test_or_are_absent_are_refused() -> None:
    refused(frame(), "is what the search selected on", VAL_ACCURACY)
    refused(frame(), "have no test/nll; `dualpt evaluate`", "test/nll")


def test_a_selected_setting_that_is_no_recorded_candidate_is_refused() -> None:
    cells = frame()
    cells.loc[cells["kind"] == "best", "key"] += " otherwise"
    refused(cells, "no candidate on record is what best of the sweep runs")
