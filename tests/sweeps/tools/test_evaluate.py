"""Metrics that recorded cells lack are filled in from what they learned, with the values that training gave."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import torch
from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellRunner
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import CellRow, KeyedCell
from dualpt.sweeps.tools.evaluate import ALL_COMPLETE, SOME_REFUSED, evaluate_sweep

QUICK = {"optim.epochs": 2, "prompt.context_length": 4}
CELLS = (("plot", "few-shot", ()), ("dualpt", "cross-dataset", ("mini-pets",)), ("zero-shot", "few-shot", ()))


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> CellRunner:
    torch.set_num_threads(1)
    return CellRunner(cache=tmp_path_factory.mktemp("features"), device="cpu")


@pytest.fixture(scope="module")
def recorded(fresh_stores: Path, runner: CellRunner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a sweep of three trained or evaluated cells."""
    folder = tmp_path_factory.mktemp("recorded")
    ledger = Ledger(f"sqlite:///{shutil.copy(fresh_stores / 'mlflow.db', folder)}")
    experiment = ledger.experiment("tiny")
    sweep = ledger.open_sweep(experiment, "tiny")
    for name, protocol, targets in CELLS:
        setting = method_setting(name).with_values(QUICK)
        trained = setting.method == "prompt"
        cell = Cell(setting, "mini-tiles", protocol, int(trained), int(trained), targets)  # type: ignore[arg-type]
        runner.parts.prepare_data([cell])
        runner.check([cell])
        runner.prepare([cell])
        trial = ledger.open_trial(experiment, sweep, "tiny", name, "baseline", setting)
        (result,) = runner.run([cell])
        ledger.record(trial, KeyedCell(cell, result.key), result, 0.1)
        ledger.close_trial(trial, "FINISHED")
    return folder / "mlflow.db"


@pytest.fixture
def store(recorded: Path, tmp_path: Path) -> Path:
    """A copy to be changed; its artifacts are where they were."""
    return Path(shutil.copy(recorded, tmp_path))


def forget(store: Path, metric: str) -> None:
    """As if the version that recorded the cells had not known the metric."""
    with sqlite3.connect(store) as database:
        for table in ("metrics", "latest_metrics"):
            database.execute(f"DELETE FROM {table} WHERE key = ? OR key LIKE ?", (metric, f"grid/%/{metric}"))


def cells(store: Path) -> dict[str, CellRow]:
    return {row.trial: row for row in Ledger(f"sqlite:///{store}").read_cells("tiny")}


def aggregates(store: Path) -> dict[str, float]:
    with sqlite3.connect(store) as database:
        rows = database.execute("SELECT key, value FROM latest_metrics WHERE key LIKE 'grid/%' ORDER BY key, value")
        return {f"{key} {place}": value for place, (key, value) in enumerate(rows)}


def evaluated(store: Path, runner: CellRunner) -> int:
    return evaluate_sweep(Console(quiet=True), "tiny", {}, store=f"sqlite:///{store}", as_json=True, runner=runner)


@pytest.mark.parametrize(
    "metric",
    ["plan_entropy", "target/mini-pets/accuracy", "val/accuracy", "test/ece", "test/nll", "target/mini-pets/nll"],
)
def test_what_is_filled_in_is_what_training_recorded(
    store: Path, runner: CellRunner, capsys: pytest.CaptureFixture[str], metric: str
) -> None:
    before, means = cells(store), aggregates(store)
    forget(store, metric)
    assert {name: row.metrics for name, row in cells(store).items()} != {n: row.metrics for n, row in before.items()}
    assert evaluated(store, runner) == ALL_COMPLETE
    after = cells(store)
    for name, row in before.items():
        assert after[name].metrics == pytest.approx(dict(row.metrics))
        assert (after[name].status, after[name].recorded_ms) == ("FINISHED", row.recorded_ms)
    assert aggregates(store) == pytest.approx(means)
    (line,) = capsys.readouterr().out.splitlines()
    assert list(json.loads(line)["added"]) == [metric]
    evaluated(store, runner)
    assert json.loads(capsys.readouterr().out) == {"name": "tiny", "complete": 3, "added": {}, "refused": {}}


def test_a_cell_that_is_not_reproduced_is_left_as_it_is(
    store: Path, runner: CellRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(store, "plan_entropy")
    with sqlite3.connect(store) as database:
        database.execute("UPDATE latest_metrics SET value = value - 5 WHERE key = 'test/accuracy'")
        database.execute("UPDATE metrics SET value = value - 5 WHERE key = 'test/accuracy'")
    assert evaluated(store, runner) == SOME_REFUSED
    refused = json.loads(capsys.readouterr().out)["refused"]
    assert "test/accuracy is" in refused["plot/mini-tiles/1/1"]
    assert "plan_entropy" not in cells(store)["plot"].metrics


def test_contexts_that_were_deleted_are_one_line(
    store: Path, runner: CellRunner, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(store, "plan_entropy")
    find = Ledger.artifact

    def without_contexts(self: Ledger, run_id: str, path: str, folder: Path) -> Path | None:
        return None if path == "contexts.safetensors" else find(self, run_id, path, folder)

    monkeypatch.setattr(Ledger, "artifact", without_contexts)
    assert evaluated(store, runner) == SOME_REFUSED
    refused = json.loads(capsys.readouterr().out)["refused"]
    assert set(refused) == {"plot/mini-tiles/1/1", "dualpt/mini-tiles/1/1"}
    assert all("has no contexts.safetensors" in reason for reason in refused.values())
