"""A store of a sweep that nobody ran, of any number of cells: written by SQL, since MLflow would take minutes."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from dualpt.sweeps import records
from dualpt.sweeps.ledger.contents import LOSS
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import CellRow
from tests.sweeps.report.synthetic import cells


def write_store(path: Path, name: str, count: int) -> str:
    """Add a finished sweep of `count` cells to an MLflow database, made where there is none; returns its address."""
    ledger = Ledger(f"sqlite:///{path}")
    experiment = ledger.experiment(name, "A sweep of <b>many</b> cells.")
    sweep_run = ledger.open_sweep(experiment, name)
    rows = cells(count)
    with sqlite3.connect(path) as database:
        _trials(database, experiment, name, rows)
        _cells(database, experiment, name, rows)
        database.execute("UPDATE runs SET status = 'FINISHED', end_time = 9 WHERE run_uuid = ?", (sweep_run,))
        database.executemany(
            "INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?)",
            [(sweep_run, records.BEST_TAG, "trial-003"), (sweep_run, records.BEST_VALUE_TAG, "71.20")],
        )
    return ledger.uri


def _trials(database: sqlite3.Connection, experiment: str, name: str, rows: Sequence[CellRow]) -> None:
    trials = {row.trial_run_id: row for row in rows}
    _runs(database, experiment, [(run_id, "FINISHED", 1, 2) for run_id in trials])
    for run_id, row in trials.items():
        _tags(database, run_id, {**_shared(name, row), records.LEVEL_TAG: "trial"})


def _cells(database: sqlite3.Connection, experiment: str, name: str, rows: Sequence[CellRow]) -> None:
    _runs(database, experiment, [(row.run_id, row.status, row.recorded_ms, row.recorded_ms + 300) for row in rows])
    for row in rows:
        own = {records.LEVEL_TAG: "cell", records.KEY_TAG: row.key, records.PARENT_TAG: row.trial_run_id}
        _tags(database, row.run_id, {**_shared(name, row), **own, **row.origin})
        place = {
            records.DATASET_PARAM: row.dataset,
            records.PROTOCOL_PARAM: row.protocol,
            records.SHOTS_PARAM: row.shots,
            records.SEED_PARAM: row.seed,
        }
        database.executemany(
            "INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?)",
            [(row.run_id, key, str(value)) for key, value in {**row.params, **place}.items()],
        )
        losses = [(epoch, 2.0 / epoch) for epoch in range(1, 11)] if row.shots and row.finished else []
        last = {**row.metrics, **({LOSS: losses[-1][1]} if losses else {})}
        database.executemany(
            "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, ?, 1, 0, 0)",
            [(row.run_id, key, value) for key, value in last.items()],
        )
        database.executemany(
            "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, ?, 1, ?, 0)",
            [(row.run_id, LOSS, value, epoch) for epoch, value in losses],
        )


def _shared(name: str, row: CellRow) -> dict[str, str]:
    return {
        records.SWEEP_TAG: name,
        records.TRIAL_TAG: row.trial,
        records.KIND_TAG: row.kind,
        records.SETTING_TAG: "0" * 16,
        records.SCHEMA_TAG: records.SCHEMA,
    }


def _runs(database: sqlite3.Connection, experiment: str, runs: Sequence[tuple[str, str, int, int]]) -> None:
    database.executemany(
        "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, "
        "artifact_uri, experiment_id) VALUES (?, '', 'LOCAL', 'nobody', ?, ?, ?, 'active', '', ?)",
        [(*run, int(experiment)) for run in runs],
    )


def _tags(database: sqlite3.Connection, run_id: str, tags: dict[str, str]) -> None:
    database.executemany(
        "INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?)", [(run_id, key, v) for key, v in tags.items()]
    )
