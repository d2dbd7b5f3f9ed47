"""Candidates by rank and state: those judged on everything first, whatever a race or a fault left of the others."""

from dataclasses import replace
from pathlib import Path

import pytest

from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.comparison.searched.candidate_ranks import candidates_of, judged_last, read_candidates, searched_keys
from dualpt.sweeps.ledger.launch_record import LaunchRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import CellRow, Status, TrialRef, TrialRow
from tests.sweeps.report.synthetic import cells
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare

BASE = next(row for row in cells(1200) if row.kind == "search")
KEY = "alignment.llm_weight"


def cell(trial: str, dataset: str, accuracy: float, status: Status = "FINISHED") -> CellRow:
    metrics = {"val/accuracy": accuracy} if status == "FINISHED" else {}
    return replace(BASE, trial=trial, dataset=dataset, status=status, metrics=metrics)


def trial(name: str, *, pruned: bool = False) -> TrialRow:
    return TrialRow(TrialRef("1", name, "s", name, "search", "0" * 16), "FINISHED", superseded=False, pruned=pruned)


def judged(name: str, *accuracies: float) -> list[CellRow]:
    return [cell(name, dataset, value) for dataset, value in zip(("a", "b", "c"), accuracies, strict=False)]


def test_ranks_go_to_those_judged_on_everything() -> None:
    rows = [
        *judged("first", 50, 60, 70),
        *judged("equal", 60, 60, 60),
        *judged("better", 70, 70, 70),
        *judged("lucky", 99),
        *judged("cut-off", 98, 98),
        *[*judged("broken", 97, 97), cell("broken", "c", 0, "FAILED")],
        *judged("begun", 96),
    ]
    trials = [trial(name, pruned=name == "lucky") for name in ("first", "equal", "better", "lucky", "cut-off", "begun")]
    settings = {row.trial: {KEY: "2.0"} for row in rows}
    found = candidates_of(rows, settings, [KEY], trials, best="equal", running=["begun"])
    assert [(one.name, one.rank, one.state) for one in found] == [
        ("better", 1, "judged"),
        ("equal", 2, "selected"),
        ("first", 3, "judged"),
        ("cut-off", None, "unfinished"),
        ("broken", None, "failed"),
        ("lucky", None, "given up"),
        ("begun", None, "in training"),
    ]
    first = found[2]
    assert (first.value, first.finished, first.cells) == (60.0, 3, 3)
    assert first.standard_error == pytest.approx(10 / 3**0.5)
    assert found[-1].standard_error is None, "a single cell has no spread"


def test_every_searched_key_is_shown_even_where_candidates_agree() -> None:
    settings = {"one": {KEY: "1", "optim.epochs": "5"}, "two": {KEY: "1", "optim.epochs": "6"}}
    assert searched_keys(None, settings) == ["optim.epochs"], "a former version kept no space"
    record = LaunchRecord(resolved={"search": {"space": {KEY: {"int": [1, 2]}}}})
    assert searched_keys(record, settings) == [KEY, "optim.epochs"]


def test_a_key_that_only_comes_and_goes_with_another_is_not_searched() -> None:
    form, epsilon = "alignment.local_form", "alignment.ot_epsilon"
    settings = {"one": {form: "ot", epsilon: "0.1"}, "two": {form: "topk"}, "three": {form: "ot", epsilon: "0.1"}}
    record = LaunchRecord(resolved={"search": {"space": {form: {"choice": ["ot", "topk"]}}}})
    assert searched_keys(record, settings) == [form]
    assert searched_keys(record, {**settings, "four": {form: "ot", epsilon: "0.2"}}) == [form, epsilon]
    assert searched_keys(None, settings) == [form, epsilon], "it may have been searched"


def test_candidates_of_a_trained_sweep(done: LoadedSweep) -> None:
    ledger = Ledger(done.file.run.tracking_uri)
    experiment, row = ledger.named_experiment("small"), ledger.read_sweep("small")
    found = read_candidates(ledger, experiment, ledger.shown_cells(experiment, ()), row)
    assert [one.rank for one in found] == [1, 2, 3, 4]
    assert [one.name for one in found if one.state == "selected"] == [row.best]
    assert found[0].name == row.best
    assert found[0].value == pytest.approx(row.best_accuracy, rel=1e-12)
    for one in found:
        assert ("alignment.topk" in one.values) == (one.values["alignment.local_form"] == "topk")
        assert one.cells == one.finished == 3
    assert found[0].words().startswith(f"{KEY}=")


def test_a_sweep_without_a_search_has_none(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    ledger = Ledger(sweep.file.run.tracking_uri)
    experiment = ledger.named_experiment("small")
    assert read_candidates(ledger, experiment, ledger.shown_cells(experiment), ledger.read_sweep("small")) == []


def test_ranks_are_over_the_cells_that_the_last_launch_judged_on() -> None:
    rows = [
        replace(cell("one", dataset, value), shots=shots, seed=1)
        for dataset, shots, value in (("mini-pets", 4, 60.0), ("mini-cars", 4, 20.0), ("mini-pets", 16, 90.0))
    ]
    resolved = {
        "grid": {"datasets": ["mini"], "shots": [4, 16], "seeds": [1, 2]},
        "search": {"datasets": ["mini-pets"], "shots": [4], "seeds": None, "space": {KEY: {"int": [1, 2]}}},
        "setting": {"data": {"root": None}},
    }
    assert judged_last(LaunchRecord(resolved=resolved), rows) == rows[:1]
    assert judged_last(None, rows) == rows, "not known of a former version's sweep"
