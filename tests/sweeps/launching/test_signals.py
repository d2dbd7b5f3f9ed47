"""A launch told to end, alone or with all its processes, closes the sweep in time and says how to go on."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.processes import arguments_of, descendants, processes
from dualpt.sweeps.ledger.mlflow import Ledger
from tests.sweeps.running import trained
from tests.sweeps.services import wait_until
from tests.sweeps.small_sweep import Declare
from tests.sweeps.sweep_process import command_of, started

pytestmark = pytest.mark.cluster
GRACE = 30
"""Seconds that Slurm gives by default (KillWait) before it kills."""


@pytest.fixture
def training(declare: Declare, log: Path, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Start a launch with a Ray of its own, and wait until its first pack trains, which takes a minute."""
    declare()

    def start() -> subprocess.Popen[str]:
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, in what it starts as well
        try:
            process = started(command_of(tmp_path, 60), without("RAY_ADDRESS"))
        finally:
            signal.signal(signal.SIGHUP, before)
        deadline = time.monotonic() + 200
        while not log.exists() or not trained(log):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return process

    return start


def without(*names: str) -> dict[str, str]:
    """This process's environment without some variables."""
    return {name: value for name, value in os.environ.items() if name not in names}


def ended(process: subprocess.Popen[str]) -> tuple[str, float]:
    """What the launch said, and how long it took to end."""
    begun = time.monotonic()
    output, _ = process.communicate(timeout=90)
    return output, time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("everybody", [True, False])
def test_a_launch_that_is_told_to_end_does_so_in_time(
    declare: Declare, training: Callable[[], subprocess.Popen[str]], number: int, everybody: bool
) -> None:
    process = training()
    for pid in [process.pid, *(descendants(process.pid) if everybody else ())]:
        os.kill(pid, number)
    output, seconds = ended(process)
    assert process.returncode == 130, output
    assert "go on with: sweep_process.py" in output
    assert seconds < GRACE
    ledger = Ledger(declare().file.run.tracking_uri)
    assert ledger.read_sweep("small").status == "KILLED"
    assert "RUNNING" not in {row.status for row in ledger.trials(ledger.named_experiment("small"))}


def test_a_launch_whose_raylet_is_killed_lives_to_close_the_sweep(declare: Declare, log: Path, tmp_path: Path) -> None:
    """Ray's client would end it without a word, for what it has put into the object store, or for being an orphan."""
    declare()
    orphan = "import os, sys; os.fork() and os._exit(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    python, *words = command_of(tmp_path, 60)
    process = started([python, "-c", orphan, *words], without("RAY_ADDRESS", "RAY_RAYLET_PID"))
    wait_until(lambda: log.exists() and bool(trained(log)), "training", 200)
    (launch,) = (pid for pid in processes() if str(tmp_path) in arguments_of(pid))
    (raylet,) = (pid for pid in descendants(launch) if any(word.endswith("/raylet") for word in arguments_of(pid)[:1]))
    os.kill(raylet, signal.SIGKILL)
    assert process.stdout is not None
    assert any("is gone" in line for line in process.stdout)
    time.sleep(3)  # Ray's client looks for what it has lost once a second
    os.kill(launch, signal.SIGTERM)
    assert "go on with: sweep_process.py" in process.communicate(timeout=90)[0]
    assert Ledger(declare().file.run.tracking_uri).read_sweep("small").status == "KILLED"
