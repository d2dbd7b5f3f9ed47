"""Sweeps on a real Ray cluster of two nodes with a GPU each (as Ray counts them), an MLflow server and PostgreSQL."""

import io
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching import driver
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.launching.outcome import LaunchOutcome
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.workers import pool
from dualpt.sweeps.workers.versions import versions_here
from dualpt.sweeps.workers.worker_config import WorkerConfig
from tests.sweeps.fake_runner import ended, fake_key, fake_runner, no_notes
from tests.sweeps.running import shown, trained
from tests.sweeps.services import POSTGRES_MISSING, MlflowServer, Postgres, has_postgres, wait_until
from tests.sweeps.small_sweep import changed, declaration
from tests.sweeps.sweep_process import command_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.skipif(not has_postgres(), reason=POSTGRES_MISSING),
]
ROOT = Path(__file__).parents[3]
NODES = 2
HASTE = {"health_check_period_ms": 1000}
"""A machine that is gone is known to be so in 5 s instead of 15."""


class Stage:
    """What the tests of this file share."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.tests = 0
        self.postgres = Postgres()
        self.server = MlflowServer(folder, self.postgres.create("mlflow"))
        self.study = self.postgres.create("optuna")
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": HASTE}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes: list[Any] = []
        self.server.await_answer()

    def have_nodes(self, count: int = NODES) -> None:
        """Start what is missing of as many nodes. From the main thread: Ray starts machines from no other."""
        while len(self.nodes) < count:
            self.nodes.append(self.cluster.add_node(num_cpus=2, num_gpus=1))

    def remove(self, node: Any) -> None:
        """Let a node go as a crash does."""
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)

    def busy_node(self, log: Path) -> Any:
        """The node of the process that trained last: its raylet is the process's parent."""
        worker = log.read_text().split()[-1]
        raylet = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
        pids = {node.all_processes["raylet"][0].process.pid: node for node in self.nodes}
        return pids[raylet]

    def close(self) -> None:
        self.cluster.shutdown()
        self.server.kill()
        self.postgres.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # workers import the fake runner
        patch.setenv("DUALPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        started = Stage(tmp_path_factory.mktemp("stage"))
        patch.setenv("RAY_ADDRESS", started.cluster.address)
        yield started
        started.close()


@pytest.fixture
def declare(stage: Stage, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., LoadedSweep]:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name.removeprefix("test_"))[:60]
    stage.have_nodes()
    stage.tests += 1  # so that no test finds its cells trained by another
    own_setting = {"optim.epochs": 10 + stage.tests}

    def make(**changes: Any) -> LoadedSweep:
        own = {"name": name, "run.tracking_uri": stage.server.uri, "run.study_storage": stage.study}
        own |= {"setting": own_setting, "run.gpus_per_trial": 0.25, **changes}  # auto loads torch, for seconds
        return check_sweep(changed(declaration(tmp_path), own), "test")

    return make


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "trained.log"
    path.touch()
    return path


def run(sweep: LoadedSweep, log: Path, seconds: float = 0.0, told: io.StringIO | None = None) -> LaunchOutcome:
    console = Console(file=told, quiet=told is None, width=200)
    return launch(sweep, console=console, runner=fake_runner(log, seconds), key=fake_key, notes=no_notes)


def at_once(log: Path) -> int:
    """How many processes trained."""
    return len({line.split()[2] for line in log.read_text().splitlines()})


def with_worker_config(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Send workers other values than the driver's own."""
    original = WorkerConfig.__init__
    monkeypatch.setattr(WorkerConfig, "__init__", lambda self, *words, **more: original(self, *words, **more, **values))


def meanwhile(act: Callable[[], None]) -> Future[None]:
    """Act beside a launch. A fault interrupts the launch, which would wait for ever, and is raised by `result`."""

    def acting() -> None:
        try:
            act()
        except BaseException:
            signal.raise_signal(signal.SIGINT)
            raise

    threads = ThreadPoolExecutor(1)
    future = threads.submit(acting)
    threads.shutdown(wait=False)
    return future


def test_halves_of_two_gpus_take_up_to_four_trials(declare: Callable[..., LoadedSweep], log: Path) -> None:
    sweep = declare(**{"run.gpus_per_trial": 0.5, "grid.seeds": [1], "baselines": ["coop", "zero-shot"]})
    outcome = run(sweep, log, seconds=1.0)
    assert (outcome.exit_code, outcome.failed) == (0, 0)
    assert 2 < at_once(log) <= 4, "two GPUs are shared; a slow machine starts the fourth process too late"
    assert set(trained(log).values()) == {1}
    assert all(row.finished for row in shown(sweep))


def test_a_node_that_goes_is_no_failure(stage: Stage, declare: Callable[..., LoadedSweep], log: Path) -> None:
    """Its machine goes twice under the same pack, and the pack is not given up."""
    sweep = declare(search=None, baselines=["coop"], **{"run.max_concurrent": 1, "grid.datasets": ["mini-pets"]})
    stage.have_nodes(3)

    def take_the_busy_nodes() -> None:
        for begun in (2, 4):
            wait_until(lambda begun=begun: len(log.read_text().splitlines()) >= begun, "training", 60)
            stage.remove(stage.busy_node(log))

    acting = meanwhile(take_the_busy_nodes)
    told = io.StringIO()
    outcome = run(sweep, log, seconds=5, told=told)
    acting.result()
    assert told.getvalue().count("a machine is gone: what it had in training is assigned again") == 2
    assert (outcome.exit_code, outcome.failed) == (0, 0)
    assert max(trained(log).values()) == 3, "begun three times"
    assert len(ended(log)) == 2, "and trained once"


def test_results_are_kept_while_the_server_is_away(
    stage: Stage, declare: Callable[..., LoadedSweep], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = declare(search=None, baselines=["coop", "dualpt-llm-only"], **{"grid.seeds": [1]})
    with_worker_config(monkeypatch, patience=1.0)
    monkeypatch.setattr(driver, "PATIENCE", 1.0)
    monkeypatch.setattr(driver, "LONGEST_WAIT", 2.0)
    kept = Outbox(stage.server.uri).folder

    def restart() -> None:
        wait_until(lambda: len(trained(log)) >= 2, "training")
        stage.server.kill()
        wait_until(lambda: len(list(kept.glob("*.json"))) >= 2, "keeping results")
        stage.server.start()

    acting, told = meanwhile(restart), io.StringIO()
    outcome = run(sweep, log, seconds=2.0, told=told)
    acting.result()
    assert re.search(rf"waiting: .*{stage.server.uri}", told.getvalue())
    assert "the stores answer again: going on" in told.getvalue()
    assert (outcome.exit_code, outcome.failed) == (0, 0)
    assert len(shown(sweep)) == 6
    assert sorted(ended(log)) == sorted(row.key for row in shown(sweep)), "each trained once"


def test_two_sweeps_share_the_stores(declare: Callable[..., LoadedSweep], stage: Stage, log: Path) -> None:
    """The second launch begins and trains while the first does; the cells of both are whole."""
    small = {"grid.seeds": [1], "search.trials": 2, "run.max_concurrent": 1, "baselines": ["coop"]}
    one = declare(**small)
    two = declare(**small, name="the-other", setting={"optim.epochs": 3}, **{"run.gpus_per_trial": "auto"})
    changes = {"name": one.file.name, "run.gpus_per_trial": 0.25, **small}
    changes |= {"run.tracking_uri": stage.server.uri, "run.study_storage": stage.study}
    with subprocess.Popen(command_of(log.parent, 5, changes), stdout=subprocess.DEVNULL) as first:
        wait_until(lambda: bool(trained(log)), "the first sweep")
        outcome = run(two, log, seconds=0.2)
        assert first.wait(timeout=200) == 0
    assert outcome.exit_code == 0
    rows = [shown(sweep) for sweep in (one, two)]
    assert [len(cells) for cells in rows] == [12, 12]
    assert all(row.finished for cells in rows for row in cells)
    assert set(trained(log).values()) == {1}
    keys = [{row.key for row in cells} for cells in rows]
    begun = [line.split()[0] for line in log.read_text().splitlines()]
    first_end = max(place for place, key in enumerate(begun) if key in keys[0])
    assert begun.index(next(key for key in begun if key in keys[1])) < first_end, "they ran at once"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"run.gpus_per_trial": 2}, r"asks for 1 CPU, 2 GPU, and no machine has that"),
        ({"run.cpus_per_trial": 3}, r"asks for 3 CPU, 0\.25 GPU, .*at most 2 CPU, 1 GPU on one"),
        ({"run.cpus_per_trial": 3, "run.gpus_per_trial": "auto"}, r"asks for 3 CPU, 1 GPU, .*at most 2 CPU"),
        ({"run.cpus_per_trial": 3, "run.gpus_per_trial": 0}, r"asks for 3 CPU, .*at most 2 CPU on one"),
        ({"run.gpus_per_trial": 1.5}, r"neither a fraction of one GPU"),
        ({"run.study_storage": "sqlite:///optuna.db"}, r"run\.study_storage: 3 machines .*createdb optuna"),
        ({"run.tracking_uri": "sqlite:///mlflow.db"}, r"run\.tracking_uri: 3 machines .*mlflow server"),
        ({"run.study_storage": "postgresql+psycopg://127.0.0.1:1/none"}, r"run\.study_storage: .* cannot be used"),
        ({"run.tracking_uri": "postgresql+psycopg://127.0.0.1:1/none"}, r"run\.tracking_uri: .* cannot be used"),
    ],
)
def test_what_cannot_work_is_told_at_once(
    declare: Callable[..., LoadedSweep],
    log: Path,
    changes: dict[str, Any],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool.tune, "run", lambda *words, **more: pytest.fail("trials were started"))
    with pytest.raises(UserError, match=text) as caught:
        run(declare(**{"grid.seeds": [1], **changes}), log)
    assert "\n" not in str(caught.value)


def test_a_user_who_may_not_write_the_study_is_told_at_once(
    stage: Stage, declare: Callable[..., LoadedSweep], log: Path
) -> None:
    stage.postgres.sql("optuna", "CREATE ROLE reader LOGIN")
    storage = stage.study.replace("dualpt@", "reader@")
    with pytest.raises(UserError, match="may not write"):
        run(declare(**{"run.study_storage": storage}), log)


def test_workers_of_another_version_are_refused_with_both_named(
    declare: Callable[..., LoadedSweep], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_worker_config(monkeypatch, versions={**versions_here(), "torch": "1.0.0"})
    with pytest.raises(UserError, match=r"torch .* there and 1\.0\.0 here") as caught:
        run(declare(search=None), log)
    assert "\n" not in str(caught.value)
    assert not trained(log)


def test_what_an_autoscaler_may_start_counts_as_room(stage: Stage) -> None:
    """Published by the autoscaler of a cluster that scales; here by hand."""
    import ray
    from ray.core.generated import autoscaler_pb2

    from dualpt.sweeps.workers.connection.ray_session import ray_session
    from dualpt.sweeps.workers.placement import machines, room_for

    big = {"CPU": 8.0, "GPU": 4.0}
    with ray_session({}):
        with pytest.raises(UserError, match="4 GPU"):
            room_for({"CPU": 1.0, "GPU": 4.0}, machines())
        config = autoscaler_pb2.ClusterConfig()
        config.node_group_configs.add(resources={"CPU": 8, "GPU": 4}, max_count=3, name="big")
        publish(ray, config.SerializeToString())
        assert room_for({"CPU": 1.0, "GPU": 4.0}, machines()) == 3
        assert (big, 3) in machines().declared
        publish(ray, b"")


def publish(ray: Any, config: bytes) -> None:
    """As the autoscaler does, under the key that Ray's libraries read."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(
        ray._raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY.encode(),
        config,
        overwrite=True,
        namespace=ray._raylet.GCS_AUTOSCALER_STATE_NAMESPACE.encode(),
    )


def test_a_spent_budget_ends_with_four_and_is_gone_on_with(
    declare: Callable[..., LoadedSweep], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.5)
    small = {"search": None, "grid.seeds": [1], "run.max_concurrent": 1}
    with monkeypatch.context() as patch:
        patch.setattr(driver, "time", ClockThatLeaps(log))
        outcome = run(declare(**small, **{"run.max_hours": 1.0}), log, seconds=3.0)
    assert (outcome.exit_code, outcome.spent) == (4, True)
    assert 0 < len(trained(log)) < outcome.cells
    rest = run(declare(**small), log)
    assert rest.exit_code == 0
    assert set(trained(log).values()) == {1}


class ClockThatLeaps:
    """Two hours pass when the first cell has been trained: however fast the machine, a budget of one is spent then."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def monotonic(self) -> float:
        return time.monotonic() + (7200 if ended(self._log) else 0)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def test_no_machine_left_ends_the_sweep(
    stage: Stage, declare: Callable[..., LoadedSweep], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "STRANDED_SECONDS", 3.0)
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.5)

    def remove_all() -> None:
        wait_until(lambda: bool(trained(log)), "training")
        for node in list(stage.nodes):
            stage.remove(node)

    acting = meanwhile(remove_all)
    with pytest.raises(UserError, match="the machines that trained are gone"):
        run(declare(search=None), log, seconds=5)
    acting.result()
