"""How Ray is asked to start, without starting any; and how a process outlives the Ray that it leaves."""

import os
import subprocess
import sys
from typing import Any

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.workers.connection import ray_session

COLLECTED_BESIDE = """
import gc
import threading
import time

from dualpt.sweeps.workers.connection.ray_session import ray_session
import ray


@ray.remote
def task():
    return 1


class Cycle:
    pass


gc.disable()
with ray_session({}):
    kept = Cycle()
    kept.itself, kept.reference = kept, task.remote()
    ray.get(kept.reference)
    del kept
    shutdown = ray.shutdown

    def shut_down():
        collecting = threading.Timer(0.1, gc.collect)
        collecting.start()
        shutdown()
        collecting.join()

    ray.shutdown = shut_down
print("alive")
"""


def test_without_an_address_ray_starts_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would first try the address in a file that an earlier cluster left behind."""
    asked: dict[str, Any] = {}

    def init(**options: Any) -> None:
        asked.update(options)
        raise OSError("seen enough")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_session.ray, "init", init)
    with pytest.raises(UserError, match="seen enough"), ray_session.ray_session({}):
        pass
    assert asked["address"] == "local"
    assert asked["include_dashboard"] is False
    with pytest.raises(UserError, match="seen enough"), ray_session.ray_session({}, dashboard=True):
        pass
    assert (asked["include_dashboard"], asked["dashboard_host"]) == (True, "127.0.0.1")


@pytest.mark.parametrize(
    "error",
    [
        Exception("The current node timed out during startup. This could happen because some of the raylet failed"),
        RuntimeError("Timed out waiting for file /tmp/ray/session_1/gcs_server_port_e5c5"),
    ],
)
def test_a_machine_too_busy_to_start_ray_gives_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def init(**options: Any) -> None:
        raise error

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_session.ray, "init", init)
    with pytest.raises(UserError, match="Ray did not start on this machine in time: "), ray_session.ray_session({}):
        pass


@pytest.mark.parametrize(("given", "seconds"), [({}, "120"), ({"RAY_gcs_server_port_wait_time_s": "300"}, "300")])
def test_the_control_service_may_take_longer_than_by_default(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], seconds: str
) -> None:
    found: dict[str, str] = {}

    def init(**options: Any) -> None:
        found.update(os.environ)
        raise OSError("seen enough")

    monkeypatch.setattr(os, "environ", given)
    monkeypatch.setattr(ray_session.ray, "init", init)
    with pytest.raises(UserError, match="seen enough"), ray_session.ray_session({}):
        pass
    assert found["RAY_gcs_server_port_wait_time_s"] == seconds


def test_a_failed_start_here_is_no_cluster_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: Any) -> None:
        raise RuntimeError("Failed to start GCS.  Last 1 lines of error files:\nno space left")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_session.ray, "init", init)
    with pytest.raises(UserError) as refused, ray_session.ray_session({}):
        pass
    assert str(refused.value).startswith("Ray did not start on this machine: Failed to start GCS.")


def test_a_cluster_that_refuses_is_joined_with_the_token_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    context, tried = object(), []

    def init(**options: Any) -> object:
        tried.append(options["address"])
        if len(tried) == 1:
            raise ConnectionError("Failed to connect to Ray cluster")
        return context

    monkeypatch.setattr(ray_session.ray, "init", init)
    monkeypatch.setattr(ray_session, "use_token_if_there_is_one", lambda: True)
    assert ray_session._join("head:6379", {}) is context
    assert tried == ["head:6379"] * 2


@pytest.mark.parametrize(("address", "token"), [("local", True), ("head:6379", False)])
def test_without_a_token_to_try_the_refusal_stands(monkeypatch: pytest.MonkeyPatch, address: str, token: bool) -> None:
    def init(**options: Any) -> object:
        raise ConnectionError("refused")

    monkeypatch.setattr(ray_session.ray, "init", init)
    monkeypatch.setattr(ray_session, "use_token_if_there_is_one", lambda: token)
    with pytest.raises(ConnectionError, match="refused"):
        ray_session._join(address, {})


@pytest.mark.slow
def test_garbage_collected_while_ray_goes_down_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's client does, with exit code 1, where the garbage holds a reference to an object."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ran = subprocess.run([sys.executable, "-c", COLLECTED_BESIDE], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.split()[-1:]) == (0, ["alive"]), ran.stderr
