"""All that a sweep on a cluster consists of, each part a real process that can be killed and brought back."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sweeps.services import MlflowServer, Postgres, wait_until
from tests.sweeps.sweep_process import command_of

ROOT = Path(__file__).parents[2]
NAME = "chaos"
NODES = 2


class Stage:
    """PostgreSQL for runs and study, an MLflow server, a Ray head that trains nothing, two nodes, and a driver."""

    def __init__(self, folder: Path, seconds: float) -> None:
        """
        Args:
            folder: where logs and artifacts go.
            seconds: what the fake runner takes a cell.
        """
        from ray.cluster_utils import Cluster

        self.folder, self._seconds, self.trials = folder, seconds, 6
        os.environ.update(PYTHONPATH=str(ROOT), DUALPT_CACHE=str(folder / "cache"), RAY_DEDUP_LOGS="0")
        self.log = folder / "trained.log"
        self.log.touch()
        self.postgres = Postgres()
        self.study = self.postgres.create("optuna")
        self.server = MlflowServer(folder, self.postgres.create("mlflow"))
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._nodes = [self.cluster.add_node(num_cpus=1) for _ in range(NODES)]
        os.environ["RAY_ADDRESS"] = self.cluster.address
        self.server.await_answer()
        self.driver: subprocess.Popen[str] | None = None

    def launch(self) -> None:
        """Start the driver of the sweep, or of what is missing of it."""
        changes: dict[str, Any] = {
            "name": NAME,
            "grid.seeds": [1],
            "search.trials": self.trials,
            "search.sampler": "random",
            "run.tracking_uri": self.server.uri,
            "run.study_storage": self.study,
        }
        command = command_of(self.folder, self._seconds, changes)
        with (self.folder / "driver.log").open("a") as log:
            self.driver = subprocess.Popen(command, stdout=log, stderr=log, text=True, start_new_session=True)

    def over(self) -> int | None:
        """The driver's exit code, None while it runs."""
        self.server.supervise()
        assert self.driver is not None
        return self.driver.poll()

    def summary(self) -> dict[str, Any]:
        """What the last driver that came to an end said of the sweep."""
        lines = [line for line in (self.folder / "driver.log").read_text().splitlines() if line.startswith("{")]
        return dict(json.loads(lines[-1]))

    def working(self) -> bool:
        """Whether some process is training now."""
        return bool(self._workers())

    # What can be killed; each returns what brings it back.

    def kill_driver(self) -> Callable[[], None]:
        assert self.driver is not None
        os.killpg(self.driver.pid, signal.SIGKILL)
        self.driver.wait()
        return self.launch

    def kill_worker(self) -> Callable[[], None]:
        os.kill(random.choice(self._workers()), signal.SIGKILL)
        return lambda: None  # Ray starts another

    def kill_node(self) -> Callable[[], None]:
        node = self._nodes.pop(random.randrange(len(self._nodes)))
        self.cluster.remove_node(node, allow_graceful=False)
        return lambda: self._nodes.append(self.cluster.add_node(num_cpus=1))

    def kill_server(self) -> Callable[[], None]:
        self.server.kill()
        return self.server.start

    def kill_postgres(self) -> Callable[[], None]:
        self.postgres.kill()
        return self.postgres.start

    def close(self) -> None:
        if self.driver is not None and self.driver.poll() is None:
            os.killpg(self.driver.pid, signal.SIGKILL)
            self.driver.wait()
        for node in self._nodes:
            self.cluster.remove_node(node, allow_graceful=False)
        self.cluster.remove_node(self.cluster.head_node, allow_graceful=False)
        self.server.kill()
        self.postgres.close()

    def _workers(self) -> list[int]:
        """Processes that have trained something and are still there."""
        pids = {int(line.split()[2]) for line in self.log.read_text().splitlines()}
        return sorted(pid for pid in pids if Path(f"/proc/{pid}").exists())


def wait_for_end(stage: Stage, seconds: float = 300) -> int:
    """Wait until the driver ends by itself; returns its exit code."""
    wait_until(lambda: stage.over() is not None, "the last launch", seconds)
    time.sleep(0.5)
    return stage.over() or 0
