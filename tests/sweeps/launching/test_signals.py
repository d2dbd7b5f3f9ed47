"""A launch told to end, alone or with all its processes, closes the sweep in time and says how to go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualpt.sweeps.ledger.mlflow import Ledger
from tests.sweeps.running import trained
from tests.sweeps.services import wait_until
from tests.sweeps.small_sweep import Declare

pytestmark = pytest.mark.cluster
GRACE = 30
"""Seconds that Slurm gives by default (KillWait) before it kills."""


@pytest.fixture
def training(declare: Declare, log: Path, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Start a launch with a Ray of its own, and wait until its first pack trains, which takes a minute."""
    declare()

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.sweeps.sweep_process", str(tmp_path), "60"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        )
        deadline = time.monotonic() + 200
        while not log.exists() or not trained(log):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return process

    return start


def below(process: int) -> list[int]:
    """All that a process has started, and they in turn."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    children = [child for child, parent in parents.items() if parent == process]
    return [*children, *(deeper for child in children for deeper in below(child))]


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
    for pid in [process.pid, *(below(process.pid) if everybody else ())]:
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
    words = ["-m", "tests.sweeps.sweep_process", str(tmp_path), "60"]
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_RAYLET_PID")}
    process = subprocess.Popen(
        [sys.executable, "-c", orphan, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
    )
    wait_until(lambda: log.exists() and bool(trained(log)), "training", 200)
    (launch,) = (pid for pid in pids() if words[-2] in command(pid))
    (raylet,) = (pid for pid in below(launch) if command(pid)[0].endswith("/raylet"))
    os.kill(raylet, signal.SIGKILL)
    assert process.stdout is not None
    assert any("is gone" in line for line in process.stdout)
    time.sleep(3)  # Ray's client looks for what it has lost once a second
    os.kill(launch, signal.SIGTERM)
    assert "go on with: sweep_process.py" in process.communicate(timeout=90)[0]
    assert Ledger(declare().file.run.tracking_uri).read_sweep("small").status == "KILLED"


def pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def command(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:  # it has ended
        return []
