"""Tables of averages over datasets."""

import pandas as pd
import pytest

from dualpt.core.results import HARMONIC_MEAN, TEST_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.formats.documents import to_frame
from dualpt.sweeps.comparison.frames import comparable_cells
from dualpt.sweeps.comparison.labels import AVERAGE, BEST
from dualpt.sweeps.comparison.tables.averages import HALVES, MEAN_OF_H, base_to_new, by_shots
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.comparison.values import Grid
from tests.sweeps.comparison.tables.recorded import DATASETS, SEEDS, halves_of


def test_h_is_per_seed_the_harmonic_mean_of_the_averages() -> None:
    rows = [halves_of("coop", "mini-pets", seed, 80.0 + 10 * seed, 40.0) for seed in (0, 1)]
    rows += [halves_of("coop", "mini-cars", seed, 60.0, 60.0 - 10 * seed) for seed in (0, 1)]
    rows += [halves_of("zero-shot", dataset, 0, 50.0, 50.0, shots=0) for dataset in DATASETS]
    by_seed = [harmonic_mean(70, 50), harmonic_mean(75, 45)]
    mean, spread = sum(by_seed) / 2, abs(by_seed[0] - by_seed[1]) / 2**0.5

    halves = base_to_new(pd.DataFrame(rows), Grid(DATASETS, (0, 1)), shots=16)
    assert halves.methods == ("zero-shot", "coop")
    of_datasets = sum(harmonic_mean(*pair) for pair in ((80, 40), (60, 60), (90, 40), (60, 50))) / 4
    shown = {halves.head(column): halves.entries["coop", column] for column in halves.columns}
    assert {head: entry and entry.mean for head, entry in shown.items()} == pytest.approx(
        {"base": 72.5, "new": 47.5, "H": mean, "mean of H": of_datasets}
    )
    assert halves.text("zero-shot", HARMONIC_MEAN) == "50.0"
    assert shown["H"] is not None
    assert (shown["H"].spread, shown["H"].n) == (pytest.approx(spread), 2)

    table = comparison(pd.DataFrame(rows), Grid(DATASETS, (0, 1)), shots=16, metric=HARMONIC_MEAN)
    average = table.entries["coop", AVERAGE]
    assert average is not None
    assert (average.mean, average.spread, average.n) == (pytest.approx(mean), pytest.approx(spread), 2)
    assert any("H of the averaged base and new accuracies" in note for note in table.notes())
    assert set(to_frame(table)["metric"]) == {HARMONIC_MEAN}


def test_base_to_new_counts_what_a_method_lacks_and_shows_no_average() -> None:
    rows = [halves_of("coop", dataset, seed, 80.0, 40.0) for dataset in DATASETS for seed in SEEDS]
    rows += [halves_of("plot", dataset, seed, 1.0, 1.0) for dataset in DATASETS for seed in SEEDS][:-1]
    halves = base_to_new(pd.DataFrame(rows), Grid(DATASETS, SEEDS), shots=16)
    assert halves.missing == {"coop": 0, "plot": 1}
    assert {halves.text("plot", column) for column in (*HALVES, MEAN_OF_H)} == {"–"}


def test_averages_by_shots(cells: pd.DataFrame) -> None:
    few = cells[cells["trial"] == "coop"].assign(shots=1)
    few[TEST_ACCURACY] -= 10
    table = by_shots(comparable_cells(pd.concat([cells, few])), Grid(DATASETS, SEEDS))
    assert [table.head(column) for column in table.columns] == ["1 shot", "16 shots"]
    assert [table.text("coop", column) for column in table.columns] == ["43.0 ± 1.5", "53.0 ± 1.5"]
    assert table.text(BEST, "1") == "–"
    assert table.missing == {"zero-shot": 0, "coop": 0, BEST: 7}
