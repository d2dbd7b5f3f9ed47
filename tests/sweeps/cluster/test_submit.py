"""`dualpt cluster submit` to a real head that takes jobs: the log is followed, and the exit code comes back."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweeps.services import free_port, wait_until

ROOT = Path(__file__).parents[3]
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-for-this-test-alone-0123456789"}
"""Ray's head takes jobs only from those who know its token; by default it makes one in the user's home folder."""
SPACE = """
name: submitted
grid: {datasets: [mini-tiles], shots: [1], seeds: [1]}
baselines: [zero-shot]
"""


def dualpt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dualpt.sweeps.cli", "cluster", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **TOKEN}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A head with its dashboard, as `ray start --head` makes it."""
    port, dashboard = free_port(), free_port()
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{bin_folder}:{os.environ['PATH']}", **TOKEN}
    environment.pop("RAY_ADDRESS", None)
    command = [str(bin_folder / "ray"), "start", "--head", "--block", "--num-cpus=1", f"--port={port}"]
    command += ["--include-dashboard=true", f"--dashboard-port={dashboard}", "--disable-usage-stats"]
    command.append(f"--dashboard-agent-listen-port={free_port()}")  # another cluster of this machine has the usual one
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{dashboard}"

    def takes_jobs() -> bool:
        try:
            urllib.request.urlopen(f"{url}/api/jobs/", timeout=2).close()
        except urllib.error.HTTPError as answer:
            return answer.code == 401  # it wants the token
        except OSError:
            return False
        return True

    wait_until(takes_jobs, "the dashboard")
    yield url
    head.terminate()
    head.wait(timeout=60)


@pytest.mark.slow
@pytest.mark.cluster
def test_a_sweep_runs_as_a_job_and_its_exit_code_comes_back(address: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SPACE)
    stores = [f"run.{key}=sqlite:///{tmp_path}/{key}.db" for key in ("tracking_uri", "study_storage")]
    done = dualpt(tmp_path, "submit", "mine.yaml", "--address", address, *stores)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "dualpt sweep mine.yaml" in done.stdout
    assert "submitted: 1 cell done: 1 trained" in done.stdout, "the job's own log"

    failing = dualpt(tmp_path, "submit", "mine.yaml", "--address", address, f"run.tracking_uri={tmp_path}")
    assert failing.returncode == 2, failing.stdout + failing.stderr
    assert "MLflow no longer keeps runs in plain files" in failing.stdout


def test_faults_are_known_before_anything_is_submitted(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SPACE)
    wrong = dualpt(tmp_path, "submit", "mine.yaml", "optim.epoch=3")
    assert wrong.returncode == 2
    assert "did you mean 'optim.epochs'" in wrong.stderr
    nowhere = dualpt(tmp_path, "submit", "mine.yaml", "--address", f"http://127.0.0.1:{free_port()}")
    assert nowhere.returncode == 2
    assert "no Ray cluster takes jobs there" in nowhere.stderr
    assert len(nowhere.stderr.strip().splitlines()) == 1
