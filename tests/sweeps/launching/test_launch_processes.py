"""Launches in processes of their own, over real Ray, MLflow and Optuna: whole, again, interrupted and killed."""

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.comparison.selection_basis import SelectionBasis
from dualpt.sweeps.driver_marker import read_marker
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.launching.outcome import LaunchOutcome
from dualpt.sweeps.launching.status import status_of
from dualpt.sweeps.ledger.opening import open_reader
from tests.sweeps.fake_runner import fake_key, fake_runner, no_notes
from tests.sweeps.running import shown, trained
from tests.sweeps.services import wait_until
from tests.sweeps.small_sweep import Declare
from tests.sweeps.sweep_process import command_of, started

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("running_ray")]
LARGEST_PACK = 4
"""Cells that train in the same steps: candidates that share a pack, with one seed each."""


def run(sweep: LoadedSweep, log: Path, console: Console | None = None) -> LaunchOutcome:
    return launch(sweep, console=console or Console(quiet=True), runner=fake_runner(log), key=fake_key, notes=no_notes)


def has_trained(log: Path, cells: int) -> Callable[[], bool]:
    return lambda: log.exists() and len(trained(log)) >= cells


@pytest.fixture
def start(declare: Declare, tmp_path: Path) -> Callable[[float], subprocess.Popen[str]]:
    """Start a launch of the small sweep in its own process group, as a terminal does."""
    declare()

    return lambda seconds: started(command_of(tmp_path, seconds))


def _driver(session: Path) -> int | None:
    marker = read_marker(session)
    return None if marker is None or not marker.is_gone else marker.pid


def test_a_launch_on_this_machine_is_whole_and_the_next_one_starts_no_ray(
    declare: Declare, log: Path, start: Callable[[float], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS")
    process = start(0)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert "27 cells done: 24 trained, 3 were known" in output
    assert "(highest of 4 candidates; mean of 3 cells, standard error " in output
    basis = json.loads(output.splitlines()[-1])["best_basis"]
    assert (basis["candidates"], basis["cells"]) == (4, 3)
    status = status_of(open_reader(declare().file.run.tracking_uri), "small")
    assert status.best_basis == SelectionBasis(4, 3, pytest.approx(basis["standard_error"]))
    sessions = [path.name for path in Path("/tmp/ray").glob("session_*_*") if _driver(path) == process.pid]
    assert sessions, "the session names its driver"
    assert json.loads(output.splitlines()[-1])["cells"] == 27
    assert len(shown(declare())) == 27
    assert set(trained(log).values()) == {1}
    assert len({line.split()[2] for line in log.read_text().splitlines()}) <= (os.cpu_count() or 1), "actors are reused"

    monkeypatch.setattr("ray.init", lambda *args, **kwargs: pytest.fail("Ray was started with nothing to train"))
    again = run(declare(), log)
    assert (again.exit_code, again.trained, again.kept) == (0, 0, 27)
    assert set(trained(log).values()) == {1}


def test_a_killed_launch_is_resumed_without_repeating_a_cell(
    declare: Declare, log: Path, start: Callable[[float], subprocess.Popen[str]]
) -> None:
    process = start(0.3)
    wait_until(has_trained(log, 12), "training")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    sweep = declare()
    finished = {row.key for row in shown(sweep) if row.finished}
    before = trained(log)
    wait_until(lambda: not ray_workers_of(log), "the end of the workers")
    outcome = run(sweep, log)
    assert outcome.exit_code == 0
    assert len(shown(sweep)) == 27
    assert all(row.finished for row in shown(sweep))
    assert finished
    assert all(trained(log)[key] == before[key] == 1 for key in finished)


def ray_workers_of(log: Path) -> list[str]:
    """Processes that trained and are still there."""
    pids = {line.split()[2] for line in log.read_text().splitlines()}
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_the_first_interrupt_drains_and_tells_how_to_go_on(
    declare: Declare, log: Path, start: Callable[[float], subprocess.Popen[str]]
) -> None:
    process = start(0.5)
    wait_until(has_trained(log, 4), "training")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "go on with: sweep_process.py" in output
    rows = shown(declare())
    assert {row.key for row in rows if row.finished} == set(trained(log)), "packs in training were finished"
    said = io.StringIO()
    assert run(declare(), log, Console(file=said)).exit_code == 0
    told = output + said.getvalue()
    lost = told.count("assigned again")  # under load a machine may lose a worker: its pack is begun once more
    assert sum(trained(log).values()) - len(trained(log)) <= lost * LARGEST_PACK, f"{told}\n{log.read_text()}"


def test_a_sweep_has_one_launch_at_a_time_and_a_second_interrupt_aborts_it(
    declare: Declare, log: Path, start: Callable[[float], subprocess.Popen[str]]
) -> None:
    process = start(60)
    wait_until(has_trained(log, 1), "training")
    with pytest.raises(UserError, match="another process"):
        run(declare(), log)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 130, output


def test_a_file_store_is_refused_on_several_machines(
    declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", machines.address)
    with pytest.raises(UserError, match="mlflow server"):
        run(declare(), log)
    machines.shutdown()
    assert not trained(log)
