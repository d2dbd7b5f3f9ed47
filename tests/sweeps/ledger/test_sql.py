"""Reading by SQL and by MLflow's client give the same rows."""

import contextlib
import math
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.preview import dry_run
from dualpt.sweeps.ledger.contents import Point, one_per_step
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.ledger.sql import is_readable_by_sql, read_runs
from dualpt.sweeps.records import SCHEMA, SCHEMA_TAG, CellRow, grid_metrics
from dualpt.sweeps.stores import StoreUnavailable
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare, changed, declaration


@pytest.fixture(scope="module")
def failing_once(tmp_path_factory: pytest.TempPathFactory, fresh_stores: Path) -> Path:
    """A folder with the stores of the small sweep, done, of which two candidates failed; to be read only."""
    folder = tmp_path_factory.mktemp("failing")
    shutil.copytree(fresh_stores, folder, dirs_exist_ok=True)
    space = {"search.space": {"alignment.llm_weight": {"choice": [4, 13, 15]}}}
    train_here(check_sweep(changed(declaration(folder), space), "test"), folder / "trained.log")
    return folder


def by_run(rows: list[CellRow]) -> list[CellRow]:
    return sorted(rows, key=lambda row: row.run_id)


def test_sql_and_client_read_the_same(failing_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(f"sqlite:///{failing_once / 'mlflow.db'}")
    experiment = ledger.find_experiment("small")
    assert experiment is not None
    fast, finished, few = (
        ledger.cells(experiment),
        ledger.finished_cells(),
        ledger.cells(experiment, ["prompt.n_prompts"]),
    )
    monkeypatch.setattr("dualpt.sweeps.ledger.mlflow.ledger.is_readable_by_sql", lambda uri: False)
    slow = ledger.cells(experiment)
    assert by_run(fast) == by_run(slow)
    assert {row.status for row in fast} == {"FINISHED", "FAILED"}
    assert any(row.failure for row in fast)
    assert finished.keys() == ledger.finished_cells().keys()
    assert by_run([replace(row, params={}) for row in few]) == by_run([replace(row, params={}) for row in slow])
    assert {key for row in few for key in row.params} == {
        *("data.dataset", "data.protocol", "data.shots", "data.seed", "prompt.n_prompts")
    }


def test_sql_and_client_read_the_same_of_one_trial(failing_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its failed attempts too, and nothing of other trials: its means are taken of these rows."""
    ledger = Ledger(f"sqlite:///{failing_once / 'mlflow.db'}")
    trials = [row.ref for row in ledger.trials(ledger.named_experiment("small"))]
    fast = [ledger.trial_cells(trial) for trial in trials]
    monkeypatch.setattr("dualpt.sweeps.ledger.mlflow.cells.is_readable_by_sql", lambda uri: False)
    slow = [ledger.trial_cells(trial) for trial in trials]
    assert list(map(by_run, fast)) == list(map(by_run, slow))
    assert [{row.trial_run_id for row in rows} for rows in fast] == [{trial.run_id} for trial in trials]
    assert {row.status for rows in fast for row in rows} == {"FINISHED", "FAILED"}


def test_a_database_that_is_locked_is_away_for_a_while(declare: Declare, log: Path) -> None:
    """So the ledger, which is patient, reads again, and a launch does not end over it."""
    sweep = declare(baselines=["zero-shot"], search=None)
    train_here(sweep, log)
    uri = sweep.file.run.tracking_uri
    path = uri.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match=r"tracking store sqlite:///.*: .*database is locked"):
            read_runs(f"{uri}?timeout=0.05", ["1"])


def test_a_metric_that_is_no_number_is_read_as_such(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    path = sweep.file.run.tracking_uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE latest_metrics SET is_nan = 1, value = 0 WHERE key = 'train/loss'")
    (row, *_) = [row for row in Ledger(sweep.file.run.tracking_uri).read_cells("small") if row.trial == "coop"]
    assert row.metrics["train/loss"] != row.metrics["train/loss"]


def test_a_store_whose_tables_are_not_mlflows_is_one_line(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").close()
    with pytest.raises(UserError, match=r"its tables cannot be read.*mlflow server"):
        read_runs(f"sqlite:///{tmp_path / 'other.db'}", ["1"])


def test_servers_are_no_databases() -> None:
    assert [is_readable_by_sql(uri) for uri in ("sqlite:///a.db", "postgresql+psycopg://h/d", "http://h:5000")] == [
        True,
        True,
        False,
    ]


def test_another_schema_is_refused_and_never_reused(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    path = sweep.file.run.tracking_uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE tags SET value = '0' WHERE key = ?", (SCHEMA_TAG,))
    ledger = Ledger(sweep.file.run.tracking_uri)
    with pytest.raises(UserError, match=rf"has schema 0, and this version reads {SCHEMA}; use the version"):
        ledger.read_cells("small")
    assert ledger.finished_cells() == {}


@pytest.mark.parametrize("by_sql", [True, False])
def test_a_trial_deleted_in_mlflow_is_gone_with_its_cells(
    declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch, by_sql: bool
) -> None:
    """MLflow deletes the one run and keeps those beneath it."""
    sweep = declare(baselines=["coop", "zero-shot"], search=None)
    train_here(sweep, log)
    uri = sweep.file.run.tracking_uri
    monkeypatch.setattr("dualpt.sweeps.ledger.mlflow.ledger.is_readable_by_sql", lambda uri: by_sql)
    ledger = Ledger(uri)
    experiment = ledger.named_experiment("small")
    (coop,) = [row.ref for row in ledger.trials(experiment) if row.ref.name == "coop"]
    MlflowClient(uri).delete_run(coop.run_id)
    for reader in (ledger, open_reader(uri)):
        assert {row.trial for row in reader.read_cells("small")} == {"zero-shot"}
        assert {row.trial for row in reader.finished_cells().values()} == {"zero-shot"}
    MlflowClient(uri).restore_run(coop.run_id)
    assert {row.trial for row in open_reader(uri).read_cells("small")} == {"coop", "zero-shot"}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_comes_back_and_stays_out_of_means(declare: Declare, log: Path, value: float) -> None:
    sweep = declare(baselines=["coop"], search=None)
    train_here(sweep, log)
    uri = sweep.file.run.tracking_uri
    (first, *_) = Ledger(uri).read_cells("small")
    MlflowClient(uri).log_metric(first.run_id, "test/accuracy", value, step=1)
    MlflowClient(uri).log_metric(first.run_id, "train/loss", value, step=9)
    for reader in (Ledger(uri), open_reader(uri)):
        rows = reader.read_cells("small")
        (row,) = [row for row in rows if row.run_id == first.run_id]
        assert row.metrics["test/accuracy"] == value or (math.isnan(value) and math.isnan(row.metrics["test/accuracy"]))
        assert math.isnan(row.flat()["test/accuracy"])
        assert "grid/mean/test/accuracy" not in grid_metrics(rows)
        assert [step for step, _ in reader.loss_curves([first.run_id])[first.run_id]] == [1, 2, 3]


def test_of_two_values_at_one_step_the_one_that_is_not_finite_is_kept() -> None:
    """MLflow keeps both, and shows the larger, in which NaN counts as 0."""
    for values in ((0.5, math.nan), (math.nan, 0.5), (0.5, math.inf), (-math.inf, 0.5)):
        (kept,) = one_per_step([Point("train/loss", value, 3) for value in values])
        assert not math.isfinite(kept.value)
    assert one_per_step([Point("a", 1.0, 1), Point("a", 2.0, 1), Point("a", 3.0, 2)]) == (("a", 2.0, 1), ("a", 3.0, 2))


def test_reading_migrates_nothing(declare: Declare, log: Path) -> None:
    """MLflow would, and the release that wrote the store could not open it afterwards."""
    sweep = declare(baselines=["coop"], search=None)
    train_here(sweep, log)
    path = Path(sweep.file.run.tracking_uri.removeprefix("sqlite:///"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '90e64c465722'")
        connection.execute("DROP TABLE IF EXISTS budget_policies")
    content = path.read_bytes()
    dry_run(sweep, console=Console(quiet=True), key=fake_key)
    assert path.read_bytes() == content
