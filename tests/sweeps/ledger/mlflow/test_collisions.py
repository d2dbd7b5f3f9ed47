"""Processes that write the same rows of MLflow's database at the same moment."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.sweeps.ledger import attempts
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.mlflow.client import MOST_COLLISIONS
from dualpt.sweeps.records import KeyedCell, TrialRef
from dualpt.sweeps.stores import Collision, StoreUnavailable
from tests.sweeps.fake_runner import FakeRunner, fake_key
from tests.sweeps.services import POSTGRES_MISSING, Postgres, has_postgres
from tests.sweeps.small_sweep import Declare

PAIRS = 8
"""Records that both processes write at once; without a second try, some eight of 25 pairs lost one."""


def record_with(trial: TrialRef, sample: int, seed: int) -> CellRecord:
    """A trained cell of one of `sample`'s draws, whose digest is a row of MLflow's `datasets`."""
    cell = Cell(Setting(), "mini-pets", "few-shot", 4, seed)
    result = replace(FakeRunner(Path("/dev/null")).run([cell])[0], sample_fingerprint=f"{sample:064d}"[::-1])
    return attempts.trained(trial, KeyedCell(cell, fake_key(cell)), result, 1.0)  # type: ignore[arg-type]


def _write(uri: str, trial: TrialRef, process: int, barrier: Any, failures: Any) -> None:
    ledger = Ledger(uri, create=False)
    ledger.trial_cells(trial)  # opened before the race begins
    for sample in range(PAIRS):
        record = record_with(trial, sample, 2 * sample + process)
        barrier.wait(60)
        try:
            ledger.deliver(record)
        except Exception as error:
            failures.put(str(error))


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request: pytest.FixtureRequest, declare: Declare) -> Iterator[str]:
    if request.param == "sqlite":
        yield declare().file.run.tracking_uri
        return
    if not has_postgres():
        pytest.skip(POSTGRES_MISSING)
    server = Postgres()
    try:
        yield server.create("mlflow")
    finally:
        server.close()


@pytest.mark.cluster
def test_two_processes_may_log_the_same_dataset_first(uri: str) -> None:
    ledger = Ledger(uri)
    experiment = ledger.experiment("race")
    trial = ledger.open_trial(experiment, ledger.open_sweep(experiment, "race"), "race", "t", "baseline", Setting())
    context = multiprocessing.get_context("spawn")
    barrier, failures = context.Barrier(2), context.Queue()
    writers = [context.Process(target=_write, args=(uri, trial, n, barrier, failures)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert failures.empty(), failures.get()
    assert len([row for row in ledger.trial_cells(trial) if row.finished]) == 2 * PAIRS


UNIQUE = "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name, datasets.digest\n[SQL: INSERT INTO datasets"


def test_a_collision_is_tried_again_without_any_patience(declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(declare().file.run.tracking_uri)
    original, calls = MlflowClient.search_experiments, []

    def collide_once(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise MlflowException(UNIQUE)
        return original(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "search_experiments", collide_once)
    assert ledger.sweeps() == []
    assert len(calls) == 2


@pytest.mark.parametrize(
    "text",
    [
        UNIQUE,
        "BAD_REQUEST: (psycopg.errors.UniqueViolation) duplicate key value violates unique constraint",
        "(psycopg.errors.DeadlockDetected) deadlock detected",
        "(pymysql.err.IntegrityError) (1062, \"Duplicate entry 'a' for key\")",
    ],
)
def test_what_keeps_colliding_is_refused_and_not_waited_for(
    declare: Declare, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    ledger, calls = Ledger(declare().file.run.tracking_uri, patience=100), []

    def collide(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        raise MlflowException(text)

    monkeypatch.setattr(MlflowClient, "search_experiments", collide)
    with pytest.raises(UserError) as caught:
        ledger.sweeps()
    assert isinstance(caught.value, Collision)
    assert not isinstance(caught.value, StoreUnavailable)
    assert len(calls) == MOST_COLLISIONS


def test_a_row_that_is_missing_is_no_collision(declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    error = MlflowException("(sqlite3.IntegrityError) FOREIGN KEY constraint failed")
    ledger, calls = Ledger(declare().file.run.tracking_uri, patience=100), []

    def fail(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        raise error

    monkeypatch.setattr(MlflowClient, "search_experiments", fail)
    with pytest.raises(UserError, match="FOREIGN KEY"):
        ledger.sweeps()
    assert len(calls) == 1
