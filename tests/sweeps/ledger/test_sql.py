"""Reading by SQL and by MLflow's client give the same rows."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.sql import is_readable_by_sql, read_runs
from dualpt.sweeps.records import SCHEMA, SCHEMA_TAG, CellRow
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare


def by_run(rows: list[CellRow]) -> list[CellRow]:
    return sorted(rows, key=lambda row: row.run_id)


def test_sql_and_client_read_the_same(declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = declare(**{"search.space": {"alignment.llm_weight": {"choice": [4, 13, 15]}}})  # two of them fail
    train_here(sweep, log)
    ledger = Ledger(sweep.file.run.tracking_uri)
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
