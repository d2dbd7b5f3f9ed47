"""What happens to results while the tracking store is away: kept, handed over, delivered once."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DataError, OperationalError

from dualpt.core.errors import UserError
from dualpt.sweeps import records
from dualpt.sweeps.dispatch.work_units import Pack
from dualpt.sweeps.ledger import attempts
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.ledger.cell_names import cell_of
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.records import TrialRef
from dualpt.sweeps.stores import StoreUnavailable, is_outage, outage
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FATAL_WEIGHT, FakeRunner, fake_key
from tests.sweeps.running import open_dispatcher
from tests.sweeps.small_sweep import Declare

AWAY = MlflowException("API request failed with exception: connection refused")


@pytest.fixture
def dealt(declare: Declare) -> tuple[Ledger, TrialRef, Pack]:
    """A ledger, and a pack of two cells that is to be trained."""
    sweep = declare(baselines=["coop"], search=None)
    unit = open_dispatcher(sweep).assign()
    assert unit is not None
    return Ledger(sweep.file.run.tracking_uri), unit.trial, unit.packs[0]


def record_of(trial: TrialRef, pack: Pack, log: Path) -> CellRecord:
    result = FakeRunner(log).run([pack[0].cell])[0]
    return attempts.trained(trial, pack[0], result, 2.0)  # type: ignore[arg-type]


def cut_off(monkeypatch: pytest.MonkeyPatch, method: str, *, once: bool = False) -> list[str]:
    """Let calls of one of MLflow's methods fail: the first with its answer lost, or all as without a server."""
    calls: list[str] = []
    original: Callable[..., Any] = getattr(MlflowClient, method)

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        answer = original(*args, **kwargs) if once else None
        if not once or len(calls) == 1:
            raise AWAY
        return answer

    monkeypatch.setattr(MlflowClient, method, failing)
    return calls


def test_a_record_is_the_same_after_lying_on_disk(dealt: tuple[Ledger, TrialRef, Pack], log: Path) -> None:
    _, trial, pack = dealt
    record = record_of(trial, pack, log)
    assert record.files["per_class.json"]
    assert CellRecord.from_json(record.to_json(), "test") == record
    values = json.loads(record.to_json())
    del values["content_sha256"]  # as earlier versions kept them
    assert CellRecord.from_json(json.dumps(values), "test") == record


@pytest.mark.parametrize("method", ["create_run", "log_batch", "log_inputs", "set_terminated"])
def test_a_call_that_is_cut_off_anywhere_is_repeated_and_leaves_one_run(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    ledger, trial, pack = dealt
    cut_off(monkeypatch, method, once=True)
    patient = Ledger(ledger.uri, create=False, patience=5)
    run_id = patient.deliver(record_of(trial, pack, log)).run_id
    (row,) = ledger.trial_cells(trial)
    assert (row.run_id, row.status, row.metrics["val/accuracy"]) == (run_id, "FINISHED", row.metrics["val/accuracy"])
    assert row.seconds == pytest.approx(2.0)
    assert {file.path for file in MlflowClient(ledger.uri).list_artifacts(run_id)} == {"setting.json", "per_class.json"}


def test_a_record_delivered_again_is_not_doubled(dealt: tuple[Ledger, TrialRef, Pack], log: Path) -> None:
    ledger, trial, pack = dealt
    record = record_of(trial, pack, log)
    first = ledger.deliver(record)
    assert ledger.deliver(record, again=True) == first
    another = replace(record, number="another attempt")
    assert ledger.deliver(another, again=True) == first, "the cell is finished already"
    assert len(ledger.trial_cells(trial)) == 1


def test_a_trial_that_was_half_made_is_completed(declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = declare(baselines=["coop"], search=None)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", lambda *args, **kwargs: (_ for _ in ()).throw(AWAY))
        with pytest.raises(StoreUnavailable):
            open_dispatcher(sweep).assign()
    unit = open_dispatcher(sweep).assign()
    assert unit is not None
    client = MlflowClient(sweep.file.run.tracking_uri)
    runs = client.search_runs([unit.trial.experiment_id], f"tags.`{records.LEVEL_TAG}` = 'trial'")
    assert [run.info.run_id for run in runs] == [unit.trial.run_id]
    assert "optim.epochs" in runs[0].data.params


def test_what_the_store_does_not_take_is_kept_and_delivered_later(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, trial, pack = dealt
    outbox = Outbox(ledger.uri)
    with monkeypatch.context() as patch:
        calls = cut_off(patch, "create_run")
        end = train_pack(FakeRunner(log), ledger, pack, outbox)  # type: ignore[arg-type]
        assert calls == ["create_run"], "the second cell does not wait for the store again"
        with pytest.raises(StoreUnavailable):
            outbox.deliver(ledger)
    assert end.outcomes == ()
    assert [record.key for record in end.kept] == [cell.key for cell in pack]
    assert {record.key for record in outbox.waiting()} == {cell.key for cell in pack}, "both ended in one millisecond"
    delivered = outbox.deliver(ledger)
    assert {outcome.key for outcome in delivered} == {cell.key for cell in pack}
    assert outbox.waiting() == []
    rows = ledger.trial_cells(trial)
    assert len([row for row in rows if row.finished]) == len(pack)
    assert {row.metrics["val/accuracy"] for row in rows if row.finished} == {o.selection for o in delivered}


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("permission denied for table metrics"),
        PermissionError(13, "Permission denied"),
        OSError(28, "No space left on device"),
        ModuleNotFoundError("No module named 'boto3'"),
        KeyError("run_uuid"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_failure_to_record_costs_a_trained_cell(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ledger, _, pack = dealt
    outbox = Outbox(ledger.uri)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", lambda *args, **kwargs: (_ for _ in ()).throw(error))
        end = train_pack(FakeRunner(log), ledger, pack, outbox)  # type: ignore[arg-type]
    assert (end.outcomes, [record.key for record in end.kept]) == ((), [cell.key for cell in pack])
    assert {outcome.key for outcome in outbox.deliver(ledger)} == {cell.key for cell in pack}
    assert outbox.waiting() == []


def test_a_full_cache_leaves_the_record_in_the_hands_of_the_driver(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, _, pack = dealt
    monkeypatch.setenv("DUALPT_CACHE", "/dev/null/cache")
    outbox = Outbox(ledger.uri)
    with monkeypatch.context() as patch:
        cut_off(patch, "create_run")
        end = train_pack(FakeRunner(log), ledger, pack, outbox)  # type: ignore[arg-type]
        assert (end.outcomes, len(end.kept)) == ((), len(pack))
    monkeypatch.setenv("DUALPT_CACHE", str(log.parent / "cache"))
    assert len(outbox.hand_in(ledger, end.kept)) == len(pack)


@pytest.fixture
def refused_artifacts(dealt: tuple[Ledger, TrialRef, Pack]) -> Path:
    """The artifact folder, with a file in its place: nothing can be written there, not by root either."""
    folder = Path(dealt[0].uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    shutil.rmtree(folder)
    folder.touch()
    return folder


def test_numbers_are_recorded_where_the_artifact_store_refuses(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, refused_artifacts: Path
) -> None:
    ledger, trial, pack = dealt
    outbox = Outbox(ledger.uri)
    end = train_pack(FakeRunner(log), ledger, pack, outbox)  # type: ignore[arg-type]
    assert [outcome.key for outcome in end.outcomes] == [cell.key for cell in pack], "the driver can go on with them"
    rows = ledger.trial_cells(trial)
    assert {row.status for row in rows} == {"FINISHED"}
    assert all("the next launch there delivers them" in (row.artifacts_wait or "") for row in rows)
    with pytest.raises(UserError, match=r"its artifacts wait .*NotADirectoryError"):
        cell_of(ledger, rows[0], {})
    assert [record.key for record in end.kept] == [cell.key for cell in pack], "the driver may reach the store"
    assert (outbox.waiting(), len(outbox.waiting_artifacts())) == ([], len(pack))

    left, reason = outbox.deliver_artifacts(ledger)
    assert (left, "\n" in (reason or "\n")) == (len(pack), False)
    refused_artifacts.unlink()
    assert outbox.deliver_artifacts(ledger) == (0, None)
    assert outbox.waiting_artifacts() == []
    rows = ledger.trial_cells(trial)
    assert [row.artifacts_wait for row in rows] == [None] * len(pack)
    assert len(rows) == len(pack)
    assert cell_of(ledger, rows[0], {}).dataset == rows[0].dataset


def test_what_the_driver_cannot_deliver_either_stays_beside_the_results(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, refused_artifacts: Path
) -> None:
    ledger, trial, pack = dealt
    outbox = Outbox(ledger.uri)
    record = record_of(trial, pack, log)
    outbox.keep(record)
    (outcome,) = outbox.deliver(ledger)
    assert (outcome.key, outbox.waiting()) == (record.key, [])
    assert [waiting.number for waiting in outbox.waiting_artifacts()] == [record.number]


@pytest.mark.skipif(importlib.util.find_spec("boto3") is not None, reason="S3 can be reached from here")
def test_an_artifact_store_without_its_client_is_one_line(dealt: tuple[Ledger, TrialRef, Pack], log: Path) -> None:
    ledger, trial, pack = dealt
    elsewhere = MlflowClient(ledger.uri).create_experiment("in S3", "s3://bucket/runs")
    delivery = ledger.deliver(replace(record_of(trial, pack, log), experiment_id=elsewhere))
    assert delivery.artifacts_wait == (
        f"artifact store s3://bucket/runs/{delivery.run_id}/artifacts: ModuleNotFoundError: No module named 'boto3'; "
        "install boto3 on every machine (`pip install boto3`)"
    )


@pytest.mark.skipif(importlib.util.find_spec("boto3") is not None, reason="S3 can be reached from here")
def test_reading_from_an_artifact_store_without_its_client_is_one_line(
    dealt: tuple[Ledger, TrialRef, Pack], tmp_path: Path
) -> None:
    ledger, _, _ = dealt
    client = MlflowClient(ledger.uri)
    run = client.create_run(client.create_experiment("in S3", "s3://bucket/runs"))
    with pytest.raises(UserError, match=r"artifact store s3://bucket/.*No module named 'boto(3|core)'; install boto3"):
        ledger.artifact(run.info.run_id, "setting.json", tmp_path)


def test_one_refused_record_does_not_hold_up_the_others(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, trial, pack = dealt
    outbox = Outbox(ledger.uri)
    record = record_of(trial, pack, log)
    outbox.keep(replace(record, params={"no\nname": "1"}, trial_run_id="none"))
    outbox.keep(replace(record, ended_ms=record.ended_ms + 1))
    with pytest.raises(UserError, match=r"no training is lost"):
        outbox.deliver(ledger)
    assert [left.trial_run_id for left in outbox.waiting()] == ["none"]
    assert len(ledger.trial_cells(trial)) == 1


@pytest.mark.parametrize("error", [PermissionError(13, "Permission\ndenied"), KeyError("run_uuid"), RuntimeError()])
def test_the_driver_says_in_one_line_whatever_keeps_it_from_recording(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ledger, trial, pack = dealt
    outbox = Outbox(ledger.uri)
    record = record_of(trial, pack, log)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", lambda *args, **kwargs: (_ for _ in ()).throw(error))
        with pytest.raises(UserError, match=rf"^{type(error).__name__}: .*keeps 1 result\)") as caught:
            outbox.hand_in(ledger, [record])
    assert "\n" not in str(caught.value)
    assert outbox.waiting() == [record]


@pytest.mark.parametrize("files_alone", [False, True])
def test_what_belongs_to_a_deleted_sweep_waits_and_holds_up_no_launch(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, files_alone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, trial, pack = dealt
    outbox, client = Outbox(ledger.uri), MlflowClient(ledger.uri)
    record = record_of(trial, pack, log)
    outbox.keep(record)
    if files_alone:
        folder = Path(ledger.uri.removeprefix("sqlite:///")).parent / "mlartifacts"
        shutil.rmtree(folder)
        folder.touch()
        outbox.deliver(ledger)
        folder.unlink()
    client.delete_experiment(trial.experiment_id)
    assert (outbox.deliver(ledger), outbox.deliver_artifacts(ledger)) == ([], (0, None))
    assert f"restore --experiment-id {trial.experiment_id}" in caplog.text
    client.restore_experiment(trial.experiment_id)
    outbox.deliver(ledger)
    outbox.deliver_artifacts(ledger)
    assert (outbox.waiting(), outbox.waiting_artifacts()) == ([], [])
    assert len(ledger.trial_cells(trial)) == 1


def test_a_cell_that_was_deleted_in_mlflow_does_not_come_back_with_its_files(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, refused_artifacts: Path
) -> None:
    ledger, trial, pack = dealt
    outbox = Outbox(ledger.uri)
    outbox.keep(record_of(trial, pack, log))
    (outcome,) = outbox.deliver(ledger)
    refused_artifacts.unlink()
    MlflowClient(ledger.uri).delete_run(outcome.run_id)
    assert outbox.deliver_artifacts(ledger) == (0, None)
    assert (outbox.waiting_artifacts(), ledger.trial_cells(trial)) == ([], [])


def test_a_failure_is_kept_too(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, trial, pack = dealt
    setting = pack[0].cell.setting.with_values({"alignment.llm_weight": FATAL_WEIGHT})
    cells = [replace(keyed, cell=replace(keyed.cell, setting=setting)) for keyed in pack[:1]]
    fatal = tuple(replace(keyed, key=fake_key(keyed.cell)) for keyed in cells)
    outbox = Outbox(ledger.uri)
    with monkeypatch.context() as patch:
        cut_off(patch, "log_batch")
        train_pack(FakeRunner(log), ledger, fatal, outbox)  # type: ignore[arg-type]
    (outcome,) = outbox.deliver(ledger)
    assert outcome.failure == "RuntimeError: no such weight"
    assert [row.failure for row in ledger.trial_cells(trial) if row.status == "FAILED"] == [outcome.failure]


def test_without_an_outbox_nothing_is_swallowed(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, _, pack = dealt
    cut_off(monkeypatch, "create_run")
    with pytest.raises(StoreUnavailable):
        train_pack(FakeRunner(log), ledger, pack)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:100],
        lambda whole: whole.replace(b"83.51", b"93.51"),  # one bit of a digit
        lambda whole: whole.replace(b"mini", b"m\xe9ni"),
        lambda whole: b"[" * 100_000,
        lambda whole: b'{"metrics": [], "files": []}',
        lambda whole: b"3",
    ],
    ids=["cut off", "another digit", "no UTF-8", "nested", "no files", "a number"],
)
def test_a_damaged_file_is_one_line(
    dealt: tuple[Ledger, TrialRef, Pack], log: Path, damage: Callable[[bytes], bytes]
) -> None:
    ledger, trial, pack = dealt
    outbox = Outbox(ledger.uri)
    outbox.keep(record_of(trial, pack, log))
    (path,) = outbox.folder.glob("*.json")
    whole = path.read_bytes()
    assert b"83.51" in whole
    path.write_bytes(damage(whole))
    with pytest.raises(UserError, match="not a kept result") as caught:
        outbox.deliver(ledger)
    assert str(path) in str(caught.value)


def test_two_stores_have_two_outboxes() -> None:
    assert Outbox("http://one:5000").folder != Outbox("http://two:5000").folder


@pytest.mark.parametrize(
    ("message", "code", "away"),
    [
        ("API request to http://x failed with exception ConnectionError", "INTERNAL_ERROR", True),
        ("(psycopg.OperationalError) server closed the connection", "BAD_REQUEST", True),
        ("(psycopg.errors.AdminShutdown) terminating connection", "BAD_REQUEST", True),
        ("(psycopg.errors.IdleInTransactionSessionTimeout) terminating connection", "BAD_REQUEST", True),
        ("(psycopg.errors.InsufficientPrivilege) permission denied for table runs", "BAD_REQUEST", False),
        ("(psycopg.errors.StringDataRightTruncation) value too long", "BAD_REQUEST", False),
        ("(sqlite3.OperationalError) no such table: runs", "TEMPORARILY_UNAVAILABLE", False),
        ("(sqlite3.OperationalError) attempt to write a readonly database", "TEMPORARILY_UNAVAILABLE", False),
        ("(sqlite3.OperationalError) database is locked", "TEMPORARILY_UNAVAILABLE", True),
        ("(sqlite3.OperationalError) database or disk is full", "TEMPORARILY_UNAVAILABLE", True),
        ("No Experiment with id=7 exists", "RESOURCE_DOES_NOT_EXIST", False),
        ("Invalid value for parameter", "INVALID_PARAMETER_VALUE", False),
    ],
)
def test_outages_are_told_from_refusals(
    dealt: tuple[Ledger, TrialRef, Pack], monkeypatch: pytest.MonkeyPatch, message: str, code: str, away: bool
) -> None:
    from mlflow.protos.databricks_pb2 import ErrorCode

    ledger, _, _ = dealt
    error = MlflowException(message, ErrorCode.Value(code))
    monkeypatch.setattr(MlflowClient, "search_experiments", lambda *a, **k: (_ for _ in ()).throw(error))
    with pytest.raises(UserError, match="tracking store") as caught:
        ledger.sweeps()
    assert isinstance(caught.value, StoreUnavailable) == away


def test_what_a_study_that_is_away_says_is_said_by_its_database() -> None:
    """Optuna's own error talks of invalid data in a commit."""

    def raised(cause: Exception) -> Exception:
        error = StorageInternalError("invalid data in the commit")
        error.__cause__ = cause
        return error

    refused = OperationalError("SELECT 1", {}, Exception("connection refused\nIs the server running?"))
    assert outage(raised(refused)) == "the study's database: connection refused"
    assert not is_outage(raised(DataError("INSERT", {}, Exception("value too long"))))
    assert outage(StoreUnavailable("no answer\n  at all")) == "no answer at all"
