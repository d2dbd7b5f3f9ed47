"""Plans: order, packs, counts and estimates, without any heavy import."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import IMAGENET_VARIANTS
from dualpt.core.errors import UserError
from dualpt.core.presets import method_setting
from dualpt.sweeps.planning.plan import (
    count,
    grid_cells,
    into_packs,
    judged_cells,
    plan_cells,
    plan_sweep,
)
from dualpt.sweeps.records import CellRow, KeyedCell, grid_metrics, latest, setting_hash
from tests.core.own_method import SOURCE
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.small_sweep import Declare

ROW = CellRow(
    run_id="r",
    trial_run_id="t",
    key="k",
    trial="coop",
    kind="baseline",
    dataset="mini-pets",
    protocol="few-shot",
    shots=4,
    seed=1,
    status="FINISHED",
    metrics={},
    params={},
    seconds=10.0,
    recorded_ms=1,
)


def places(cells: tuple[Cell, ...]) -> list[tuple[int, str, int]]:
    return [(cell.shots, cell.dataset, cell.seed) for cell in cells]


def test_cheap_cells_come_first_and_seeds_stay_together() -> None:
    cells = plan_cells(Setting(), ["ImageNet", "EuroSAT"], "few-shot", [16, 1], [2, 1])
    assert places(cells) == [
        (1, "EuroSAT", 2),
        (1, "EuroSAT", 1),
        (1, "ImageNet", 2),
        (1, "ImageNet", 1),
        (16, "EuroSAT", 2),
        (16, "EuroSAT", 1),
        (16, "ImageNet", 2),
        (16, "ImageNet", 1),
    ]


def test_a_whole_grid_by_name_has_eleven_datasets() -> None:
    assert len(plan_cells(Setting(), ["mini"], "few-shot", [1], [1])) == 11


def test_zero_shot_methods_have_one_cell_a_dataset() -> None:
    cells = plan_cells(method_setting("zero-shot"), ["mini"], "base-to-new", [1, 16], [1, 2, 3])
    assert len(cells) == 11
    assert {(cell.shots, cell.seed) for cell in cells} == {(0, 0)}


def test_each_source_has_its_own_targets() -> None:
    cells = plan_cells(
        Setting(), ["mini-pets", "mini-cars"], "cross-dataset", [1], [1], ["mini-pets", "mini-cars", "EuroSAT"]
    )
    assert [(cell.dataset, cell.targets) for cell in cells] == [
        ("mini-pets", ("mini-cars", "EuroSAT")),
        ("mini-cars", ("mini-pets", "EuroSAT")),
    ]
    (zero_shot,) = plan_cells(method_setting("zero-shot"), ["ImageNet"], "domain-generalization", [1], [1])
    assert zero_shot.targets == IMAGENET_VARIANTS


def test_other_targets_share_no_steps() -> None:
    cells = [
        plan_cells(Setting(), ["mini-pets"], "cross-dataset", [1], [1], [name])[0] for name in ("EuroSAT", "UCF101")
    ]
    assert len(into_packs([KeyedCell(cell, fake_key(cell)) for cell in cells])) == 2


def test_a_pack_holds_the_seeds_of_a_dataset_and_its_shots() -> None:
    cells = plan_cells(Setting(), ["mini-pets", "mini-cars"], "few-shot", [1, 4], [1, 2, 3])
    packs = into_packs([KeyedCell(cell, fake_key(cell)) for cell in cells])
    assert [len(pack) for pack in packs] == [3, 3, 3, 3]
    assert [(pack[0].cell.shots, pack[0].cell.dataset) for pack in packs] == [
        (1, "mini-pets"),
        (1, "mini-cars"),
        (4, "mini-pets"),
        (4, "mini-cars"),
    ]


def test_counts_of_a_sweep(declare: Declare) -> None:
    plan = plan_sweep(declare())
    assert [len(baseline.cells) for baseline in plan.baselines] == [3, 6]
    assert (plan.candidates, plan.candidate_cells, plan.best_cells) == (4, 3, 6)
    assert plan.cells == 3 + 6 + 4 * 3 + 6


def test_searched_shots_are_judged_at_one_number_of_shots(declare: Declare) -> None:
    space = {"data.shots": {"choice": [1, 4]}, "alignment.llm_weight": {"float": [1, 2]}}
    plan = plan_sweep(declare(**{"grid.shots": [1, 4], "search.space": space}))
    assert plan.candidate_cells == 3


def test_an_unknown_dataset_is_named(declare: Declare) -> None:
    with pytest.raises(UserError, match=r"mini-petz.*mini-pets"):
        plan_sweep(declare(**{"grid.datasets": ["mini-petz"]}))


def test_counts_against_the_ledger(declare: Declare) -> None:
    sweep = declare()
    plan = plan_sweep(sweep)
    empty = count(plan, [], [], fake_key)
    assert (empty.done, empty.missing, empty.packs) == (0, 27, 6)
    assert (len(empty.left.planned), empty.left.unproposed, empty.left.unselected) == (9, 12, 3)
    coop = [replace(ROW, key=fake_key(cell), dataset=cell.dataset) for cell in plan.baselines[1].cells]
    search = [replace(ROW, key=f"s{n}", kind="search") for n in range(4)]
    counts = count(plan, [*coop, *search], search, fake_key)
    assert (counts.done, counts.packs) == (6 + 4, 3)
    assert (len(counts.left.planned), counts.left.unproposed, counts.left.unselected) == (3, 8, 3)


def test_the_attempts_at_the_key_tried_last_are_shown() -> None:
    failed = replace(ROW, status="FAILED", recorded_ms=2, run_id="failed")
    assert [row.run_id for row in latest([ROW, failed])] == ["r"]
    other = replace(failed, key="of changed data")
    assert [row.run_id for row in latest([ROW, other])] == ["failed"]


def test_grid_metrics_average_datasets_and_not_cells() -> None:
    metrics = [("a", 1, 80.0), ("a", 2, 60.0), ("b", 1, 10.0)]
    rows = [replace(ROW, dataset=d, seed=s, metrics={"test/accuracy": value}) for d, s, value in metrics]
    assert grid_metrics(rows) == {
        "grid/a/test/accuracy": 70.0,
        "grid/b/test/accuracy": 10.0,
        "grid/mean/test/accuracy": 40.0,
        "grid/cells": 3.0,
        "grid/datasets": 2.0,
    }


def test_the_harmonic_mean_is_taken_of_averages() -> None:
    measured = [("a", 90.0, 10.0), ("b", 10.0, 90.0)]
    rows = [
        replace(ROW, dataset=d, metrics={"base/accuracy": base, "new/accuracy": new, "harmonic_mean": 18.0})
        for d, base, new in measured
    ]
    assert grid_metrics(rows)["grid/mean/harmonic_mean"] == pytest.approx(50.0)


def test_the_hash_of_a_setting_ignores_what_is_switched_off() -> None:
    coop = method_setting("coop")
    assert setting_hash(coop) == setting_hash(coop.with_values({"alignment.topk": 3}))
    assert setting_hash(coop) != setting_hash(coop.with_values({"prompt.context_length": 4}))


def test_planning_loads_nothing_heavy() -> None:
    code = (
        "import sys, dualpt.sweeps.planning.plan, dualpt.sweeps.launching.launch\n"
        "print([m for m in ('torch', 'ray', 'mlflow') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_users_own_runs_under_its_name(tmp_path: Path, declare: Declare) -> None:
    own = tmp_path / "own.py"
    own.write_text(SOURCE)
    baselines = plan_sweep(declare(baselines=["gda", str(own)])).baselines
    assert [(one.name, len(one.cells)) for one in baselines] == [("gda", 6), ("pulled", 6)]
    with pytest.raises(UserError, match="pulled: can't be judged under protocol cross-dataset"):
        plan_cells(baselines[1].setting, ["mini-pets"], "cross-dataset", [4], [1])


def test_candidates_are_judged_as_the_grid_says_and_fixed_recipes_not_at_all(declare: Declare) -> None:
    sweep = declare(**{"grid.selection": "support-holdout", "baselines": ["zero-shot", "coop", "tip-adapter"]})
    plan = plan_sweep(sweep)
    rules = {baseline.name: {cell.selection for cell in baseline.cells} for baseline in plan.baselines}
    assert rules == {"zero-shot": {"validation"}, "coop": {"none"}, "tip-adapter": {"support-holdout"}}
    judged, best = judged_cells(sweep, sweep.reference), grid_cells(sweep, sweep.reference)
    assert {cell.selection for cell in (*judged, *best)} == {"support-holdout"}
    assert set(judged) <= set(best)


def test_by_default_cells_are_what_they_were(declare: Declare) -> None:
    sweep = declare()
    cells = [cell for baseline in plan_sweep(sweep).baselines for cell in baseline.cells]
    assert {cell.selection for cell in (*cells, *grid_cells(sweep, sweep.reference))} == {"validation"}
