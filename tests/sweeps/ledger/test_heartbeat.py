"""One driver a sweep on whatever machine: who runs it, refusals, takeovers; and what `dualpt status` makes of it."""

import io
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.sweeps.dispatch.worker_reports import GpuState, WorkerReport, kept
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.launching.status import show_status, status_of
from dualpt.sweeps.ledger.heartbeat import STALE_SECONDS, Heartbeat, Launch, launch_from, refuse_second, running_launch
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.declared import missing_cells
from tests.sweeps.fake_runner import FATAL_WEIGHT, fake_key, fake_runner, no_notes
from tests.sweeps.running import finish, open_dispatcher, train_here
from tests.sweeps.small_sweep import Declare

STATE = {"cells": 27, "finished": 9, "failed": 0, "trained": 9, "seconds_left": 120.0, "running": ["trial-001"]}


def claim(ledger: Ledger, experiment: str, other: Launch) -> None:
    found = ledger.launch_of(experiment)
    assert found is not None
    ledger.mark_launch(found[0], other.text())


def elsewhere(age: float) -> Launch:
    now = time.time()
    return Launch(host="another-machine", process=1, started=now - 90, beat=now - age, state=STATE)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_launch_is_read_as_it_was_written() -> None:
    one = Launch(state=STATE)
    assert launch_from(one.text()) == one
    assert launch_from("") is None
    assert launch_from('{"host": 1, "unknown": 2}') is None


def test_a_second_driver_on_another_machine_is_refused_until_the_first_is_stale(declare: Declare, log: Path) -> None:
    sweep = declare()
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    claim(ledger, dispatcher.experiment, elsewhere(age=5))
    with pytest.raises(UserError, match=r"process 1 on another-machine \(last sign of life \d+ s ago\)") as caught:
        launch(sweep, console=Console(quiet=True), runner=fake_runner(log), key=fake_key, notes=no_notes)
    assert "\n" not in str(caught.value)
    claim(ledger, dispatcher.experiment, elsewhere(age=STALE_SECONDS + 1))
    refuse_second(ledger, dispatcher.experiment, "small")


def test_a_dead_process_of_this_machine_does_not_hold_the_sweep(declare: Declare) -> None:
    sweep = declare()
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    gone = Launch(host=socket.gethostname(), process=dead_process(), beat=time.time())
    claim(ledger, dispatcher.experiment, gone)
    assert running_launch(ledger, dispatcher.experiment) is None
    claim(ledger, dispatcher.experiment, Launch(process=os.getpid(), beat=time.time()))
    assert running_launch(ledger, dispatcher.experiment) is not None
    dispatcher.close(interrupted=False)
    assert running_launch(ledger, dispatcher.experiment) is None, "a sweep that has ended is free"


def test_a_driver_that_was_taken_over_gives_way(declare: Declare) -> None:
    sweep = declare()
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    said: list[str] = []
    with Heartbeat(ledger, dispatcher.sweep_run, dispatcher.experiment, lambda: STATE, said.append, seconds=0.05):
        mine = running_launch(Ledger(ledger.uri), dispatcher.experiment)
        assert mine is not None
        assert mine.state == STATE
        time.sleep(0.3)
        assert not said
        taken = Launch(host="another-machine", beat=time.time(), started=time.time() + 1)
        deadline = time.monotonic() + 10
        while not said and time.monotonic() < deadline:
            claim(Ledger(ledger.uri), dispatcher.experiment, taken)  # a beat may just have been under way
            time.sleep(0.1)
    assert len(said) == 1
    assert "another-machine" in said[0]


def test_status_shows_trials_reasons_and_the_running_launch(
    declare: Declare, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"alignment.llm_weight": {"choice": [1.0, FATAL_WEIGHT]}}
    sweep = declare(**{"search.space": space, "search.trials": 2})
    train_here(sweep, log)
    uri = sweep.file.run.tracking_uri
    show_status(Console(quiet=True), "small", store=uri, as_json=True)
    status = json.loads(capsys.readouterr().out)["small"]
    for width, heads in ((120, "mini-pets"), (50, "1 mini-pets, 2 mini-cars, 3 mini-dishes")):
        narrow = io.StringIO()
        show_status(Console(file=narrow, width=width), "small", store=uri, as_json=False)
        assert heads in " ".join(narrow.getvalue().split())
    for width in (30, 60, 80, 100, 160):
        listed = io.StringIO()
        show_status(Console(file=listed, width=width), None, store=uri, as_json=False)
        assert {"small", "finished", "18", "given", "up", "failed"} <= set(listed.getvalue().replace(":", " ").split())
    assert (status["launch"], status["finished"], status["failed"]) == ("FAILED", 18, 3)
    assert status["reasons"] == {"RuntimeError: no such weight": 3}
    assert status["trials"]["coop"]["mini-pets"] == {"FINISHED": 2}
    assert status["driver"] is None

    ledger = Ledger(uri)
    experiment = ledger.named_experiment("small")
    ledger.open_sweep(experiment, "small")
    claim(ledger, experiment, elsewhere(age=0))
    running = status_of(ledger, "small")
    assert (running.launch, running.cells, running.running) == ("RUNNING", 27, ["trial-001"])
    assert running.seconds_left == 120.0
    claim(ledger, experiment, elsewhere(age=STALE_SECONDS + 1))
    assert status_of(ledger, "small").launch == "KILLED"


@pytest.mark.parametrize("closed", [True, False])
def test_an_ended_launch_leaves_missing_what_it_counted_itself(declare: Declare, log: Path, closed: bool) -> None:
    """Candidates' cells too, which nothing declares; and cells that were recorded after a killed launch's last beat."""
    sweep, shown = declare(), io.StringIO()
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    state = {"cells": dispatcher.total, "finished": 0, "failed": 0}
    if closed:
        with Heartbeat(ledger, dispatcher.sweep_run, dispatcher.experiment, lambda: state, lambda reason: None):
            finish(dispatcher, sweep, log, stop_after=2)
            state["finished"] = dispatcher.counts.finished
            dispatcher.close(interrupted=True)
    else:
        finish(dispatcher, sweep, log, stop_after=2)
        claim(ledger, dispatcher.experiment, Launch(process=dead_process(), beat=time.time() - 30, state=state))
    left = dispatcher.total - dispatcher.counts.finished
    assert status_of(ledger, "small").missing == left
    assert left > len(missing_cells(ledger.read_sweep("small").declared, ledger.read_cells("small")))
    show_status(Console(file=shown, width=120), "small", store=ledger.uri, as_json=False)
    assert f"{left} missing of the last launch's {dispatcher.total}; launch killed" in shown.getvalue()


def test_status_shows_what_workers_report_accuracies_and_the_best_so_far(declare: Declare, log: Path) -> None:
    sweep = declare()
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    finish(dispatcher, sweep, log, stop_after=8)
    gpu = GpuState("H100", 3.1, 79.6, 12.4, 87)
    reports = [WorkerReport(1, "here", "trial-001", "mini-cars", 2, 12, 50, 1.234, gpu)]
    reports.append(WorkerReport(2, "here", "coop", "mini-pets", 2))
    state = {**STATE, "best": ("trial-001", 71.26), "workers": kept(reports)}
    claim(ledger, dispatcher.experiment, replace(elsewhere(age=0), state=state))
    status, shown = status_of(ledger, "small"), io.StringIO()
    assert (status.best, status.best_value, status.workers) == ("trial-001", 71.26, reports)
    rows = [row for row in ledger.read_cells("small") if row.trial == "coop"]
    assert status.validation["coop"] == pytest.approx(statistics.fmean(row.metrics["val/accuracy"] for row in rows))
    assert "zero-shot" in status.trials
    assert "zero-shot" not in status.validation
    show_status(Console(file=shown, width=140), "small", store=ledger.uri, as_json=False)
    lines = [" ".join(line.split()) for line in shown.getvalue().splitlines()]
    assert "1 on here trial-001 mini-cars 12/50 1.234 3.1 GiB (12.4 of 80 in use) 87 %" in lines
    assert "2 on here coop mini-pets no GPU" in lines
    assert any(line.startswith("best candidate trial-001: validation accuracy 71.3") for line in lines)


def test_watching_needs_one_sweep(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    with pytest.raises(UserError, match="--watch: name one sweep"):
        show_status(Console(quiet=True), None, store=sweep.file.run.tracking_uri, as_json=False, watch=True)
    show_status(Console(quiet=True), "small", store=sweep.file.run.tracking_uri, as_json=False, watch=True)
