"""Launches over real Ray, MLflow and Optuna: whole, again, interrupted, killed, and with failing settings."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.comparison.selection_basis import SelectionBasis
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.worker_reports import WorkerReport
from dualpt.sweeps.driver_marker import read_marker
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.launching.outcome import LaunchOutcome
from dualpt.sweeps.launching.preview import dry_run
from dualpt.sweeps.launching.status import status_of
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.opening import open_reader
from tests.sweeps.fake_runner import (
    FATAL_WEIGHT,
    FakeRunner,
    fake_key,
    fake_runner,
    heard_of,
    heard_runner,
    no_notes,
    runner_only_here,
)
from tests.sweeps.running import shown, trained
from tests.sweeps.small_sweep import Declare

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("running_ray")]
WEIGHT = "alignment.llm_weight"
LARGEST_PACK = 4
"""Cells that train in the same steps: candidates that share a pack, with one seed each."""


def run(sweep: LoadedSweep, log: Path, console: Console | None = None) -> LaunchOutcome:
    return launch(sweep, console=console or Console(quiet=True), runner=fake_runner(log), key=fake_key, notes=no_notes)


@pytest.fixture
def start(declare: Declare, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a launch of the small sweep in its own process group, as a terminal does."""
    declare()

    def popen(seconds: float, **changes: object) -> subprocess.Popen[str]:
        words = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.sweeps.sweep_process", str(tmp_path), str(seconds), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return popen


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.1)


def _driver(session: Path) -> int | None:
    marker = read_marker(session)
    return None if marker is None or not marker.is_gone else marker.pid


def test_the_driver_hears_of_cells_in_training(declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[WorkerReport] = []

    def hear(shown: SweepProgress, reports: Sequence[WorkerReport]) -> None:
        heard.extend(reports)
        if reports:
            heard_of(log).touch()

    monkeypatch.setattr(SweepProgress, "hear", hear)
    sweep = declare(baselines=["coop"], search=None, **{"grid.datasets": ["mini-pets"]})
    outcome = launch(sweep, console=Console(quiet=True), runner=heard_runner(log), key=fake_key, notes=no_notes)
    assert outcome.trained == 2
    first = heard[0]
    assert (first.worker, first.trial, first.dataset, first.cells, first.gpu) == (1, "coop", "mini-pets", 2, None)
    assert (first.epoch, first.epochs, first.loss) in ((2, 3, 1.0), (0, 0, None))


def test_a_launch_on_this_machine_is_whole_and_the_next_one_starts_no_ray(
    declare: Declare, log: Path, start: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
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
    declare: Declare, log: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(0.3)
    wait_for(lambda: len(trained(log)) >= 12)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    sweep = declare()
    finished = {row.key for row in shown(sweep) if row.finished}
    before = trained(log)
    wait_for(lambda: not ray_workers_of(log))
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
    declare: Declare, log: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(0.5)
    wait_for(lambda: len(trained(log)) >= 4)
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


def test_an_interrupt_that_leaves_nothing_undone_is_no_interruption(declare: Declare, log: Path) -> None:
    """It comes while the last pack trains."""
    sweep = declare(search=None, baselines=["coop"], **{"grid.datasets": ["mini-pets"]})

    def interrupt() -> None:
        wait_for(lambda: bool(trained(log)))
        signal.raise_signal(signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        interrupting = threads.submit(interrupt)
        outcome = launch(sweep, console=Console(quiet=True), runner=fake_runner(log, 2.0), key=fake_key, notes=no_notes)
        interrupting.result()
    assert (outcome.exit_code, outcome.interrupted, outcome.trained) == (0, False, 2)
    assert Ledger(sweep.file.run.tracking_uri).read_sweep(sweep.file.name).status == "FINISHED"


def test_a_sweep_has_one_launch_at_a_time_and_a_second_interrupt_aborts_it(
    declare: Declare, log: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(60)
    wait_for(lambda: len(trained(log)) >= 1)
    with pytest.raises(UserError, match="another process"):
        run(declare(), log)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 130, output


def test_failing_settings_leave_the_others_whole(declare: Declare, log: Path) -> None:
    """One candidate raises, one kills its worker process again and again."""
    space = {WEIGHT: {"choice": [1.0, 4.0, FATAL_WEIGHT, FATAL_WEIGHT + 1]}}
    sweep = declare(baselines=[], **{"search.space": space, "grid.datasets": ["mini-pets"]})
    outcome = run(sweep, log)
    assert outcome.exit_code == 3
    failed = {row.params[WEIGHT]: row.failure for row in shown(sweep) if not row.finished}
    assert set(failed) == {"13.0", "14.0"}
    assert "died" in (failed["14.0"] or "")
    assert {row.params[WEIGHT] for row in shown(sweep) if row.trial == "best"} == {"4.0"}


def test_workers_that_cannot_start_end_the_sweep_with_the_reason(declare: Declare, log: Path) -> None:
    sweep = declare(baselines=["coop"], search=None)
    with pytest.raises(UserError, match="workers cannot train: RuntimeError: no such device") as caught:
        launch(sweep, console=Console(quiet=True), runner=runner_only_here(log), key=fake_key, notes=no_notes)
    assert "\n" not in str(caught.value)
    assert shown(sweep) == [], "no cell is blamed"


def test_a_dry_run_writes_nothing_and_counts(declare: Declare, tmp_path: Path, log: Path) -> None:
    for store in ("mlflow.db", "optuna.db"):
        (tmp_path / store).unlink()
    before = sorted(tmp_path.iterdir())
    text = io.StringIO()
    dry_run(declare(), console=Console(file=text, width=100), key=fake_key, notes=no_notes)
    assert "27 cells, 0 finished, 27 to train" in text.getvalue()
    assert "unknown until the first cells finish" in text.getvalue()
    assert sorted(tmp_path.iterdir()) == before


def test_too_much_asked_for_is_one_line(declare: Declare, log: Path) -> None:
    with pytest.raises(UserError, match=r"lower run\.cpus_per_trial"):
        run(declare(**{"run.cpus_per_trial": 10_000}), log)


def test_an_address_where_no_cluster_answers_is_one_line(
    declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before images are encoded, which may take an hour."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")

    def asked() -> FakeRunner:
        raise AssertionError("something is prepared")

    with pytest.raises(UserError, match="RAY_ADDRESS") as caught:
        launch(declare(), console=Console(quiet=True), runner=asked, key=fake_key, notes=no_notes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


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
