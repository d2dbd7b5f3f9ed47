"""Which correction a selected setting's p gets follows from how its candidates were proposed and judged."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dualpt.core.results import TEST_ACCURACY, VAL_ACCURACY
from dualpt.sweeps.comparison.claims import Claims, claims_of
from dualpt.sweeps.comparison.frames import SEARCH_RECORD
from dualpt.sweeps.comparison.searched.reselection import Contender, reselected_p
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.planning.search_record import SearchRecord

DATASETS = [f"own-{number}" for number in range(11)]
SEEDS = (1, 2)
RANDOM = SearchRecord(samplers=["random"], racing=["none"])
K = 4


def frame(record: SearchRecord, judged: list[str], *, shots: int = 4, missing: bool = False) -> pd.DataFrame:
    """A baseline, K candidates of which `trial-002` validates best, and what was selected; all by a fixed stream."""
    random = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []

    def add(trial: str, kind: str, dataset: str, seed: int, shots: int, val: float, test: float) -> None:
        named = trial if kind != "best" else "trial-002"
        key = f"{named} {dataset} {shots} {seed}"
        row = {"sweep": "s", "trial": trial, "kind": kind, "dataset": dataset, "protocol": "few-shot", "shots": shots}
        rows.append(row | {"seed": seed, "status": "FINISHED", "key": key, VAL_ACCURACY: val, TEST_ACCURACY: test})

    for dataset in DATASETS:
        for seed in SEEDS:
            add("coop", "baseline", dataset, seed, 4, 60.0, 60.0 + random.normal())
            for number in range(1, K + 1):
                luck, own = random.normal(size=2)  # validation and test results share a draw's luck
                val, test = 60 + luck + (1 if number == 2 else 0), 61 + luck + 0.3 * own
                if dataset in judged and not (missing and number == 4 and dataset == DATASETS[0]):
                    add(f"trial-{number:03d}", "search", dataset, seed, shots, val, test)
                if number == 2:
                    add("best", "best", dataset, seed, 4, val, test)
    found = pd.DataFrame(rows)
    found.attrs[SEARCH_RECORD] = record
    return found


def claims(cells: pd.DataFrame) -> Claims:
    selection = select({"s": cells})
    searches = selection.searches
    return claims_of(selection.cells, selection.grid, "coop", shots=4, metric=TEST_ACCURACY, searches=searches)


def test_independent_candidates_are_selected_again() -> None:
    cells = frame(RANDOM, DATASETS)
    (found,) = claims(cells).paired.values()
    means = cells.groupby(["trial", "dataset"])[[VAL_ACCURACY, TEST_ACCURACY]].mean().unstack()
    order = ["trial-002", "trial-001", "trial-003", "trial-004"]
    baseline = means.loc["coop", TEST_ACCURACY][sorted(DATASETS)].to_numpy()
    contender = Contender(
        *(means.loc[order, metric][sorted(DATASETS)].to_numpy() for metric in (TEST_ACCURACY, VAL_ACCURACY))
    )
    assert found.search_p == pytest.approx(reselected_p(contender, Contender.unsearched(baseline)))
    assert found.search_p > found.p
    assert found.holm == found.search_p


@pytest.mark.parametrize(
    ("record", "judged", "more", "words", "factor"),
    [
        (SearchRecord(samplers=["random", "tpe"], racing=["none"]), DATASETS, {}, "in the light of earlier ones", K),
        (SearchRecord(), DATASETS, {}, "in the light of earlier ones", K),
        (RANDOM, DATASETS, {"missing": True}, "not judged on everything", K),
        (SearchRecord(samplers=["qmc"], racing=["asha"]), DATASETS, {}, "not judged on everything", K),
    ],
)
def test_else_p_is_multiplied_by_the_number_of_candidates(
    record: SearchRecord, judged: list[str], more: dict[str, Any], words: str, factor: int
) -> None:
    found = claims(frame(record, judged, **more))
    (paired,) = found.paired.values()
    assert paired.search_p == pytest.approx(min(1.0, factor * paired.p))
    assert any(words in line and "(Bonferroni)" in line for line in found.words())


def test_more_candidates_than_the_datasets_can_bear_are_said_to_be() -> None:
    cells = frame(SearchRecord(samplers=["tpe"], racing=["none"]), DATASETS)
    few = cells[cells["dataset"].isin(DATASETS[:6])].copy()
    few.attrs = cells.attrs
    assert any("6 datasets cannot give a claim after so many" in line for line in claims(few).words())
    assert not any("after so many" in line for line in claims(cells).words())


def test_candidates_of_other_shots_cannot_be_selected_again() -> None:
    cells = frame(RANDOM, DATASETS, shots=16)
    cells.loc[cells["kind"] == "best", "key"] = cells.loc[cells["kind"] == "best", "key"].str.replace(" 4 ", " 16 ")
    assert any("candidates have no test/accuracy at 4 shots" in line for line in claims(cells).words())


def test_datasets_that_a_learning_search_did_not_see_are_tested_alone() -> None:
    found = claims(frame(SearchRecord(samplers=["tpe"], racing=["none"]), DATASETS[:2]))
    assert any("9 datasets that the search did not see" in line for line in found.words())


def test_without_a_search_there_is_no_column_for_it() -> None:
    cells = frame(RANDOM, DATASETS)
    cells = cells[cells["kind"] != "search"]
    found = claims(cells)
    assert "p (search)" not in found.tables()[0].head
    assert "p (search)" in claims(frame(RANDOM, DATASETS)).tables()[0].head
