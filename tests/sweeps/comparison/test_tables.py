"""Tables: means, spread and n against hand-computed numbers; missing cells are counted, never averaged away."""

import pandas as pd
import pytest

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.formats.documents import to_frame, to_markdown
from dualpt.sweeps.comparison.frames import comparable_cells
from dualpt.sweeps.comparison.labels import AVERAGE, BEST, find_method, method_title, short_title
from dualpt.sweeps.comparison.tables import (
    HALVES,
    MEAN_OF_H,
    base_to_new,
    by_shots,
    comparison,
    cross_dataset,
    differences,
)
from dualpt.sweeps.comparison.values import Grid

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
    table = comparison(comparable_cells(cells), Grid(DATASETS, SEEDS), shots=16)
    pets = table.entries["coop", "mini-pets"]
    assert pets is not None
    assert (pets.mean, pets.spread, pets.n) == (pytest.approx(62.0), pytest.approx(1.0), 3)
    average = table.entries["coop", AVERAGE]  # per seed: 51.5, 53, 54.5
    assert average is not None
    assert (average.mean, average.spread, average.n) == (pytest.approx(53.0), pytest.approx(1.5), 3)


def test_of_errors_and_likelihoods_the_lowest_is_best_and_shown_in_its_own_digits(cells: pd.DataFrame) -> None:
    nll = {"zero-shot": 1.2345, "coop": 0.9875, BEST: 0.9871}
    cells = cells.assign(**{"test/nll": cells["trial"].map(nll)})
    table = comparison(comparable_cells(cells), Grid(DATASETS, SEEDS), shots=16, metric="test/nll")
    assert [table.place(method, "mini-pets") for method in (BEST, "coop", "zero-shot")] == [1, 2, None]
    assert table.text("zero-shot", "mini-pets") == "1.234"
    assert table.notes()[0].startswith("negative log-likelihood in nats; lower is better")
    differ = differences(comparable_cells(cells), Grid(DATASETS, SEEDS), "coop", shots=16, metric="test/nll")
    assert differ.text("zero-shot", "mini-pets").startswith("+0.247")
    assert differ.notes()[0].startswith("difference in nats")


def test_a_method_that_lacks_a_cell_has_no_average_and_says_so(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), Grid(DATASETS, SEEDS), shots=16)
    assert table.entries[BEST, AVERAGE] is None
    assert table.missing[BEST] == 1
    assert table.entries[BEST, "mini-cars"].n == 2
    assert any("best of the sweep: 1 cell missing" in note for note in table.notes())
    assert "–" in to_markdown(table)


def test_candidates_of_the_search_are_no_methods(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), Grid(DATASETS, SEEDS), shots=16)
    assert table.methods == ("zero-shot", "coop", BEST)


def test_zero_shot_stands_at_every_number_of_shots_with_n_1(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), Grid(DATASETS, SEEDS), shots=16)
    average = table.entries["zero-shot", AVERAGE]
    assert average is not None
    assert (average.mean, average.spread, average.n) == (30.0, None, 1)


def test_best_of_a_column_is_marked(cells: pd.DataFrame) -> None:
    table = comparison(comparable_cells(cells), Grid(DATASETS, SEEDS), shots=16)
    assert [table.place(m, "mini-pets") for m in table.methods] == [None, 2, 1]
    assert "**72.0 ± 1.0**" in to_markdown(table)
    assert len(to_frame(table)) == 9


def test_shots_without_a_result_are_refused_with_what_there_is(cells: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"no finished cell has test/accuracy at 2 shots \(finished shots: \[16\]\)"):
        comparison(cells[cells["shots"] > 0], Grid(DATASETS, SEEDS), shots=2)


def test_shots_never_run_are_refused_although_zero_shot_methods_have_results(cells: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"at 3 shots \(finished shots: \[16\]\)"):
        comparison(cells, Grid(DATASETS, SEEDS), shots=3)


def test_an_empty_sweep_has_no_comparable_cell() -> None:
    assert comparable_cells(pd.DataFrame()).empty


def test_the_note_on_a_single_seed_tells_trained_methods_from_zero_shot_ones(cells: pd.DataFrame) -> None:
    def notes(shown: pd.DataFrame, seeds: tuple[int, ...]) -> str:
        return "\n".join(comparison(shown, Grid(DATASETS, seeds), shots=16).notes())

    zero_shot, single = "n = 1: methods that draw no sample", "n = 1: a single seed, no spread"
    coop, untrained = cells["trial"] == "coop", cells["trial"] == "zero-shot"
    assert zero_shot in (several := notes(cells[coop | untrained], SEEDS))
    assert single not in several
    assert single in (one := notes(cells[coop], (1,)))
    assert zero_shot not in one


def test_a_method_is_untrained_by_its_cells_and_not_by_its_name() -> None:
    rows = [cell("zero-shot-like", "mini-pets", seed, 60.0 + seed) for seed in SEEDS]
    rows += [cell("no training", "mini-pets", 0, 30.0, shots=0)]
    table = comparison(pd.DataFrame(rows), Grid(("mini-pets",), SEEDS), shots=16)
    assert table.untrained == {"no training"}
    assert table.missing == {"zero-shot-like": 0, "no training": 0}
    assert {m: entry and entry.n for (m, _), entry in table.entries.items()} == {"zero-shot-like": 3, "no training": 1}


def test_selected_settings_of_several_shots_are_named_and_ordered_by_shots() -> None:
    names = ["best-16-shot", "coop", "best-1-shot", "best-4-shot"]
    rows = pd.DataFrame([cell(name, dataset, 1, 50.0) for name in names for dataset in DATASETS])
    table = comparison(rows, Grid(DATASETS, (1,)), shots=16)
    assert table.methods == ("coop", "best-1-shot", "best-4-shot", "best-16-shot")
    assert method_title("best-4-shot") == "best of the sweep (4 shots)"
    assert method_title("best-1-shot") == "best of the sweep (1 shot)"
    assert short_title("best-4-shot") == "best of sweep (4 shots)"
    assert method_title("best-guess") == "best-guess"


def halves_of(trial: str, dataset: str, seed: int, base: float, new: float, **more: object) -> dict[str, object]:
    values = {BASE_ACCURACY: base, NEW_ACCURACY: new, HARMONIC_MEAN: harmonic_mean(base, new)}
    return cell(trial, dataset, seed, None, protocol="base-to-new", **values, **more)


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


def test_differences_are_paired_by_seed(cells: pd.DataFrame) -> None:
    table = differences(comparable_cells(cells), Grid(DATASETS, SEEDS), "coop", shots=16)
    assert table.methods == ("zero-shot", BEST)
    pets = table.entries[BEST, "mini-pets"]
    assert pets is not None
    assert (pets.mean, pets.spread, pets.n) == (pytest.approx(10.0), pytest.approx(0.0), 3)
    assert table.text(BEST, "mini-pets") == "+10.0 ± 0.0"
    assert table.text(BEST, AVERAGE) == "–"
    lower = table.entries["zero-shot", "mini-cars"]  # 30 - (42, 44, 46)
    assert lower is not None
    assert (lower.mean, lower.spread, lower.n) == (pytest.approx(-14.0), pytest.approx(2.0), 3)


def test_averages_by_shots(cells: pd.DataFrame) -> None:
    few = cells[cells["trial"] == "coop"].assign(shots=1)
    few[TEST_ACCURACY] -= 10
    table = by_shots(comparable_cells(pd.concat([cells, few])), Grid(DATASETS, SEEDS))
    assert [table.head(column) for column in table.columns] == ["1 shot", "16 shots"]
    assert [table.text("coop", column) for column in table.columns] == ["43.0 ± 1.5", "53.0 ± 1.5"]
    assert table.text(BEST, "1") == "–"
    assert table.missing == {"zero-shot": 0, "coop": 0, BEST: 7}


def test_cross_dataset_has_the_source_every_target_and_their_average() -> None:
    rows = []
    for seed in SEEDS:
        targets = {"mini-cars": 40.0 + seed, "mini-dishes": 60.0, "mean": 50 + seed / 2}
        metrics = {f"target/{name}/accuracy": value for name, value in targets.items()}
        rows.append(cell("coop", "mini-pets", seed, 80.0, protocol="cross-dataset", **metrics))
    table = cross_dataset(pd.DataFrame(rows), source="mini-pets", shots=16, seeds=SEEDS)
    heads = [table.head(column) for column in table.columns]
    assert heads == ["mini-pets (source)", "mini-cars", "mini-dishes", "Average of targets"]
    assert [table.text("coop", c) for c in table.columns] == ["80.0 ± 0.0", "42.0 ± 1.0", "60.0 ± 0.0", "51.0 ± 0.5"]


def test_a_method_is_found_by_name_or_title() -> None:
    names = ("coop", "best [a]")
    assert find_method("CoOp", names, "--baseline") == find_method("COOP", names, "--baseline") == "coop"
    assert find_method("best of the sweep [a]", names, "--baseline") == "best [a]"
    with pytest.raises(UserError, match=r"--baseline: no method 'CoOpp' in this table; did you mean 'coop'"):
        find_method("CoOpp", names, "--baseline")


ONE_DRAW = "n = 1: one draw serves all seeds, so nothing is known of its spread (mini-pets)"


def on_one_draw(*datasets: str) -> pd.DataFrame:
    """Three seeds of two methods; on some datasets all of them on the same images."""
    rows = []
    for method, first in (("coop", 60.0), ("plot", 62.0)):
        for dataset in DATASETS:
            samples = [dataset if dataset in datasets else f"{dataset} {seed}" for seed in SEEDS]
            drawn = zip(SEEDS, samples, strict=True)
            rows += [cell(method, dataset, seed, first + seed / 10, sample=sample) for seed, sample in drawn]
    rows += [cell("zero-shot", dataset, 0, 30.0, shots=0, sample=None) for dataset in DATASETS]
    return pd.DataFrame(rows)


def test_seeds_on_one_draw_are_one_draw() -> None:
    cells, grid = on_one_draw("mini-pets"), Grid(DATASETS, SEEDS)
    table = comparison(cells, grid, shots=16)
    assert [table.text("coop", column) for column in table.columns] == ["60.2", "60.2 ± 0.1", "60.2 ± 0.1"]
    pets = table.entries["coop", "mini-pets"]
    assert pets is not None
    assert (pets.spread, pets.n) == (None, 1)
    assert ONE_DRAW in table.notes()
    assert "n = 1: a single seed, no spread" not in table.notes()
    differ = differences(cells, grid, "coop", shots=16)
    assert [differ.text("plot", column) for column in differ.columns] == ["+2.0", "+2.0 ± 0.0", "+2.0 ± 0.0"]
    assert by_shots(cells, grid).text("coop", "16") == "60.2 ± 0.1"


def test_an_average_over_single_draws_has_no_spread() -> None:
    cells, grid = on_one_draw(*DATASETS), Grid(DATASETS, SEEDS)
    assert comparison(cells, grid, shots=16).text("coop", AVERAGE) == "60.2"
    assert by_shots(cells, grid).text("coop", "16") == "60.2"
    assert ONE_DRAW not in comparison(on_one_draw(), grid, shots=16).notes()
    unknown = on_one_draw(*DATASETS).assign(sample=None)
    assert comparison(unknown, grid, shots=16).text("coop", AVERAGE) == "60.2 ± 0.1"
