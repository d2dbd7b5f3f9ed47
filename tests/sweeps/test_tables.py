"""Tables: means, spread and n against hand-computed numbers; missing cells are counted, never averaged away."""

import pandas as pd
import pytest

from core.errors import UserError
from core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean
from sweeps.tables import (
    AVERAGE,
    BEST,
    base_to_new_rows,
    comparable_cells,
    comparison,
    to_frame,
    to_markdown,
)

DATASETS = ("mini-pets", "mini-cars")
SEEDS = (1, 2, 3)


def cell(trial: str, dataset: str, seed: int, accuracy: float | None, **more: object) -> dict[str, object]:
    row = {"trial": trial, "kind": "baseline", "dataset": dataset, "protocol": "few-shot", "shots": 16, "seed": seed}
    return {**row, "status": "FINISHED", TEST_ACCURACY: accuracy, **more}


@pytest.fixture
def cells() -> pd.DataFrame:
    rows = [cell("coop", "mini-pets", seed, 60.0 + seed) for seed in SEEDS]
    rows += [cell("coop", "mini-cars", seed, 40.0 + 2 * seed) for seed in SEEDS]
    rows += [cell(BEST, "mini-pets", seed, 70.0 + seed, kind="best") for seed in SEEDS]
    rows += [cell(BEST, "mini-cars", seed, 50.0, kind="best") for seed in (1, 2)]
    rows += [cell(BEST, "mini-cars", 3, None, kind="best", status="FAILED")]
    rows += [cell("zero-shot", dataset, 0, 30.0, shots=0) for dataset in DATASETS]
    rows += [cell("trial-003", "mini-pets", 1, 99.0, kind="search")]
    return pd.DataFrame(rows)


def test_entries_are_mean_and_sample_deviation_over_seeds(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), datasets=DATASETS, shots=16, seeds=SEEDS)
    pets = table.entries["coop", "mini-pets"]
    assert pets is not None
    assert (pets.mean, pets.spread, pets.n) == (pytest.approx(62.0), pytest.approx(1.0), 3)
    average = table.entries["coop", AVERAGE]  # per seed: 51.5, 53, 54.5
    assert average is not None
    assert (average.mean, average.spread, average.n) == (pytest.approx(53.0), pytest.approx(1.5), 3)


def test_a_method_that_lacks_a_cell_has_no_average_and_says_so(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), datasets=DATASETS, shots=16, seeds=SEEDS)
    assert table.entries[BEST, AVERAGE] is None
    assert table.missing[BEST] == 1
    assert table.entries[BEST, "mini-cars"].n == 2
    assert any("best of the sweep: 1 cells missing" in note for note in table.notes())
    assert "–" in to_markdown(table)


def test_candidates_of_the_search_are_no_methods(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), datasets=DATASETS, shots=16, seeds=SEEDS)
    assert table.methods == ("zero-shot", "coop", BEST)


def test_zero_shot_stands_at_every_number_of_shots_with_n_1(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), datasets=DATASETS, shots=16, seeds=SEEDS)
    average = table.entries["zero-shot", AVERAGE]
    assert average is not None
    assert (average.mean, average.spread, average.n) == (30.0, None, 1)


def test_best_of_a_column_is_marked(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), datasets=DATASETS, shots=16, seeds=SEEDS)
    assert table.best("mini-pets") == BEST
    assert "**72.0 ± 1.0**" in to_markdown(table)
    assert len(to_frame(table)) == 9


def test_shots_without_a_result_are_refused_with_what_there_is(cells: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"no finished cell has test/accuracy at 2 shots \(finished shots: \[16\]\)"):
        comparison(cells[cells["shots"] > 0], datasets=DATASETS, shots=2, seeds=SEEDS)


def test_h_is_the_harmonic_mean_of_the_averages() -> None:
    rows = []
    for dataset, base, new in (("mini-pets", 80.0, 40.0), ("mini-cars", 60.0, 60.0)):
        more = {BASE_ACCURACY: base, NEW_ACCURACY: new, HARMONIC_MEAN: harmonic_mean(base, new)}
        rows += [cell("coop", dataset, seed, None, protocol="base-to-new", **more) for seed in SEEDS]
    rows.append(cell("plot", "mini-pets", 1, None, **{BASE_ACCURACY: 1.0, NEW_ACCURACY: 1.0, HARMONIC_MEAN: 1.0}))
    table = base_to_new_rows(pd.DataFrame(rows), datasets=DATASETS, shots=16)
    assert list(table["method"]) == ["CoOp"], "a method without all datasets is left out"
    assert table["H"][0] == pytest.approx(harmonic_mean(70.0, 50.0))
    assert table["mean of H"][0] == pytest.approx((harmonic_mean(80, 40) + 60) / 2)
