"""Ablations through the engine of sweeps: planned, trained once, and shown with their statistics."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dualpt.search_spaces.ablation import LoadedAblation, check_ablation
from dualpt.sweeps.ablation import run
from dualpt.sweeps.ablation.ablation_tables import ablation_cells, ablation_tables
from dualpt.sweeps.comparison.compare import rendered
from dualpt.sweeps.comparison.frames import read_frame
from dualpt.sweeps.planning.plan import count, plan_sweep
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import finished, train_here, trained

FACTORS = {
    "LLM alignment": {"without": {"alignment.llm_weight": 0}, "with": {}},
    "local alignment": {"without": {"alignment.local_weight": 0, "inference.local_weight": 0}, "with": {}},
}
DeclareAblation = Callable[..., LoadedAblation]


@pytest.fixture
def declare_ablation(declare: Any, tmp_path: Path) -> DeclareAblation:
    """A factorial of three mini datasets and two seeds, with its stores in a temporary folder."""
    stores = declare().file.run.model_dump()

    def make(**changes: Any) -> LoadedAblation:
        grid = {"datasets": ["mini-pets", "mini-cars", "mini-dishes"], "shots": [4], "seeds": [1, 2]}
        declared = {
            "name": "crossed",
            "grid": grid,
            "design": "factorial",
            "factors": FACTORS,
            "run": stores,
            **changes,
        }
        return check_ablation({key: value for key, value in declared.items() if value is not None}, "test")

    return make


def test_a_study_is_planned_as_trials_over_the_grid(declare_ablation: DeclareAblation) -> None:
    plan = plan_sweep(declare_ablation(baselines=["zero-shot"]).sweep)
    assert [(trial.name, trial.kind, len(trial.cells)) for trial in plan.baselines] == [
        ("zero-shot", "baseline", 3),
        ("reference", "reference", 6),
        ("without local alignment", "variant", 6),
        ("without LLM alignment", "variant", 6),
        ("without LLM alignment, without local alignment", "variant", 6),
    ]
    assert count(plan, [], [], fake_key).missing == plan.cells == 27


def test_a_study_trains_each_cell_once_and_ends_with_effects(
    declare_ablation: DeclareAblation,
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ablation = declare_ablation()
    train_here(ablation.sweep, log)
    train_here(ablation.sweep, log)
    assert set(trained(log).values()) == {1}
    assert len(trained(log)) == 4 * 6
    frame = read_frame("crossed", ablation.sweep.file.run.tracking_uri)
    tables = ablation_tables(ablation, ablation_cells(ablation, frame))
    assert [table.title for table in tables] == [
        "test/accuracy at 4 shots",
        "test/accuracy at 4 shots: difference to reference",
        "test/accuracy at 4 shots: statistics against reference",
        "test/accuracy at 4 shots: mean ranks",
        "test/accuracy at 4 shots: effects",
    ]
    # The fake runner's test accuracy is 50 + |llm_weight - 4|: switching descriptions off adds 4, the rest nothing.
    effects = {row["name"]: row["estimate"] for row in json.loads(rendered(tables, "json"))["tables"][-1]["rows"]}
    assert effects == {
        "LLM alignment: with against without": -4.0,
        "local alignment: with against without": 0.0,
        "LLM alignment × local alignment": 0.0,
    }
    notes = "\n".join(tables[2].notes())
    assert "3 datasets cannot give a corrected p below 0.75: no claim is possible at this n" in notes

    # What `dualpt ablate` prints and writes of it.
    done = finished("crossed", trained=24)
    monkeypatch.setattr(run, "launch", lambda sweep, **_: done)
    monkeypatch.setattr(run, "draw_mini_datasets", lambda *_, **__: None)
    console = Console(file=io.StringIO(), width=200)
    assert run.run_ablation(console, ablation, output=tmp_path / "table.tex", form="latex") == 0
    assert "LLM alignment × local alignment" in console.file.getvalue()  # type: ignore[attr-defined]
    assert (tmp_path / "table.tex").read_text().count(r"\toprule") == 5
    assert run.run_ablation(console, ablation, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 0
    assert len(document["tables"]) == 5


def test_earlier_variants_stay_in_the_ledger_alone(declare_ablation: DeclareAblation, log: Path) -> None:
    train_here(declare_ablation().sweep, log)
    smaller = declare_ablation(
        design=None, factors=None, variants={"without LLM alignment": {"alignment.llm_weight": 0}}
    )
    train_here(smaller.sweep, log)
    assert len(trained(log)) == 4 * 6
    selection = ablation_cells(smaller, read_frame("crossed", smaller.sweep.file.run.tracking_uri))
    assert list(dict.fromkeys(selection.cells["trial"])) == ["reference", "without LLM alignment"]


def test_one_dataset_has_a_table_and_no_statistics(declare_ablation: DeclareAblation, log: Path) -> None:
    ablation = declare_ablation(grid={"datasets": ["mini-pets"], "shots": [1, 4], "seeds": [1]})
    train_here(ablation.sweep, log)
    selection = ablation_cells(ablation, read_frame("crossed", ablation.sweep.file.run.tracking_uri))
    titles = [table.title for table in ablation_tables(ablation, selection)]
    assert any(
        "no statistics: a claim is about datasets" in note for note in ablation_tables(ablation, selection)[0].notes()
    )
    assert titles == ["test/accuracy at 1 shot", "test/accuracy at 4 shots", "test/accuracy by shots"]


def test_effects_wait_for_every_run(declare_ablation: DeclareAblation, log: Path) -> None:
    ablation = declare_ablation()
    train_here(ablation.sweep, log, stop_after=10)
    selection = ablation_cells(ablation, read_frame("crossed", ablation.sweep.file.run.tracking_uri))
    tables = ablation_tables(ablation, selection)
    assert not any("effects" in table.title for table in tables)
    assert "without LLM alignment, without local alignment: 4 cells missing" in tables[0].notes()


def test_a_reference_that_lacks_cells_leaves_tables_without_statistics(
    declare_ablation: DeclareAblation, log: Path
) -> None:
    ablation = declare_ablation()
    train_here(ablation.sweep, log, stop_after=2)
    tables = ablation_tables(
        ablation, ablation_cells(ablation, read_frame("crossed", ablation.sweep.file.run.tracking_uri))
    )
    assert [table.title for table in tables] == ["test/accuracy at 4 shots"]
    assert "no statistics: 'reference' lacks cells at 4 shots, and pairs need all of them" in tables[0].notes()
