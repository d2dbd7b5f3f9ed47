"""`run.notify`: what the command gets and when, and that nothing it does reaches the sweep."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.comparison.searched.candidate_ranks import read_candidates
from dualpt.sweeps.comparison.searched.candidate_table import record
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching import notify
from dualpt.sweeps.launching.declaring import open_dispatcher
from dualpt.sweeps.launching.earlier_launches import cells_on_record
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.launching.mlflow_page import page_of
from dualpt.sweeps.launching.notify import Notifier, notifier_of, run_command
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.planning.plan import plan_sweep
from tests.sweeps import running
from tests.sweeps.fake_runner import FATAL_WEIGHT, fake_key, fake_runner, no_notes
from tests.sweeps.small_sweep import SPACE, Declare

COMMAND = f"{sys.executable} -c pass"
STATE = {"cells": 27, "finished": 9, "failed": 1, "trained": 8, "best": None}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The documents that commands get; calls do not rest."""
    documents: list[dict[str, Any]] = []

    def take(words: list[str], document: str) -> None:
        documents.append(json.loads(document))

    monkeypatch.setattr(notify, "run_command", take)
    monkeypatch.setattr(notify, "REST_SECONDS", 0.0)
    return documents


@pytest.mark.parametrize(
    ("command", "fault"),
    [("no-such-program --now", "there is no program 'no-such-program'"), ("", "is empty"), ("sh -c 'x", "quote it")],
)
def test_a_command_that_cannot_run_is_refused_before_anything_is_written(
    declare: Declare, log: Path, tmp_path: Path, command: str, fault: str
) -> None:
    sweep = declare(**{"run.notify": command})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.db")}
    with pytest.raises(UserError, match=f"run.notify: .*{fault}") as caught:
        launch(sweep, console=Console(quiet=True), runner=fake_runner(log), key=fake_key, notes=no_notes)
    assert "\n" not in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.db")} == before


def test_failures_new_bests_and_the_end_are_told_with_counts_and_values(
    declare: Declare, log: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"alignment.llm_weight": {"choice": [1.0, FATAL_WEIGHT, 4.0]}}
    sweep = declare(**{"search.space": space, "search.trials": 3, "run.notify": COMMAND})
    progress = SweepProgress(Console(quiet=True), enabled=False)
    notifier = notifier_of(sweep, pytest.fail)
    monkeypatch.setattr(notifier, "_tell", lambda *event: told.append(notifier._document(notify._call(*event))))
    progress.observers.append(notifier)
    recorded = cells_on_record(sweep.file.run.tracking_uri, sweep.file.name)
    dispatcher = open_dispatcher(sweep, plan_sweep(sweep), recorded, fake_key, progress)
    running.finish(dispatcher, sweep, log)
    notifier.ended(running.finished("small", trained=18), progress.state)
    assert {document["event"] for document in told} == {"failure", "new best", "end"}
    failure = next(document for document in told if document["event"] == "failure")
    assert failure["reason"] == "RuntimeError: no such weight"
    assert failure["counts"]["failed"] == 1
    best = [document["best"] for document in told if document["event"] == "new best"]
    accuracies = [one["validation_accuracy"] for one in best]
    assert accuracies == sorted(set(accuracies)), "each is better than the one before"
    assert best[-1]["values"] == {"alignment.llm_weight": 4.0}
    end = told[-1]
    assert (end["event"], end["status"], end["exit_code"], end["sweep"]) == ("end", "complete", 0, "small")
    assert (end["counts"]["failed"], end["mlflow"], end["store"]) == (3, None, sweep.file.run.tracking_uri)


def test_of_many_events_of_a_kind_the_last_is_told(
    declare: Declare, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(words: list[str], document: str) -> None:
        told.append(json.loads(document))
        begun.set()
        go_on.wait()

    monkeypatch.setattr(notify, "run_command", slow)
    notifier = Notifier(declare(), ["program"], pytest.fail)
    for number in range(5):
        notifier.failed(f"trial-{number}", "reason", {**STATE, "failed": number + 1})
        assert begun.wait(10)
    notifier.improved(("trial-9", 70.0), STATE)
    go_on.set()
    with pytest.raises(RuntimeError), notifier.telling_errors(lambda: STATE):
        raise RuntimeError("a fault of Ray's")
    assert told[0]["trial"] == "trial-0"
    assert told[-1]["event"] == "end"
    assert (told[-1]["status"], told[-1]["reason"]) == ("error", "RuntimeError: a fault of Ray's")
    assert [document["trial"] for document in told[1:] if document["event"] == "failure"] in ([], ["trial-4"])


def test_a_command_that_fails_gives_one_line(declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(notify, "REST_SECONDS", 0.0)
    monkeypatch.setattr(notify, "run_command", lambda words, document: "program ended with exit code 1")
    notifier = Notifier(declare(), ["program"], lines.append)
    notifier.failed("trial-0", "reason", STATE)
    notifier.ended(running.finished("small", trained=18), STATE)
    assert lines == [
        "[yellow]run.notify[/]: program ended with exit code 1; the sweep goes on, and later faults are not reported"
    ]


def test_the_command_gets_the_document_and_is_stopped_when_it_takes_long(tmp_path: Path) -> None:
    target = tmp_path / "document.json"
    copy = f"import sys, pathlib; pathlib.Path({str(target)!r}).write_text(sys.stdin.read())"
    assert run_command([sys.executable, "-c", copy], '{"event": "end"}') is None
    assert target.read_text() == '{"event": "end"}'
    assert run_command([sys.executable, "-c", "raise SystemExit(3)"], "x" * 10**6) == (
        f"{sys.executable} ended with exit code 3"
    )
    slow = "sleep 600 & sleep 600"
    assert run_command(["sh", "-c", slow], "{}", seconds=0.2) == "sh was stopped after 0.2 s"
    assert run_command([str(tmp_path / "gone")], "{}") == f"{tmp_path / 'gone'}: No such file or directory"


def test_a_server_gives_a_link_without_its_password(declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader:
        def named_experiment(self, name: str) -> str:
            return "7"

    monkeypatch.setattr(notify, "open_reader", lambda uri: Reader())
    sweep = declare(**{"run.tracking_uri": "https://me:secret@head:5000/mlflow/"})
    page = "runs?workflowType=machine_learning&viewStateShareKey=dualpt"  # as the launch has printed it
    assert Notifier(sweep, [], pytest.fail)._link() == f"https://head:5000/mlflow/#/experiments/7/{page}"
    assert page_of(sweep.file.run.tracking_uri, "7") == (f"https://head:5000/mlflow/#/experiments/7/{page}", "")


def test_values_are_numbers_and_those_alone_that_matter(done: LoadedSweep) -> None:
    reader = open_reader(done.file.run.tracking_uri)
    experiment = reader.named_experiment("small")
    rows = reader.shown_cells(experiment, ())
    candidates = read_candidates(reader, experiment, rows, reader.sweep_row(experiment))
    assert {one.values["alignment.local_form"] for one in candidates} == {"topk", "attention"}
    for one in candidates:  # alignment.topk is recorded of every trial, and means nothing beside another form
        searched = {key: value for key, value in record(one)["values"].items() if key in SPACE}
        assert Notifier(done, [], pytest.fail)._values(one.name) == searched
