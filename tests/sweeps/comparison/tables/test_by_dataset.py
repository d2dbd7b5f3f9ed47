"""Tables of methods by datasets."""

import pandas as pd
import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.formats.documents import to_frame, to_markdown
from dualpt.sweeps.comparison.frames import comparable_cells
from dualpt.sweeps.comparison.labels import AVERAGE, BEST, method_title, short_title
from dualpt.sweeps.comparison.tables.averages import by_shots
from dualpt.sweeps.comparison.tables.by_dataset import comparison, differences
from dualpt.sweeps.comparison.values import Grid
from tests.sweeps.comparison.tables.recorded import DATASETS, ONE_DRAW, SEEDS, cell, on_one_draw


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
    table = comparison(cells, grid, shots=16)
    in_their_order = ", ".join(map(table.head, table.columns))
    assert ONE_DRAW.replace("mini-pets", in_their_order) in table.notes()
    assert ONE_DRAW not in comparison(on_one_draw(), grid, shots=16).notes()
    unknown = on_one_draw(*DATASETS).assign(sample=None)
    assert comparison(unknown, grid, shots=16).text("coop", AVERAGE) == "60.2 ± 0.1"
