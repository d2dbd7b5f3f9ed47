"""One process, such as a notebook's, that trains here first and on a cluster after that."""

import os

import pytest
import ray

from dualpt.sweeps.workers.connection.ray_session import ray_session

pytestmark = pytest.mark.cluster


@ray.remote(num_cpus=0)
class Alive:
    def says(self) -> str:
        return "yes"


def test_a_cluster_without_tokens_takes_actors_after_a_session_here(
    ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray switches tokens on where it starts by itself, and leaves them on: the cluster's actors never start then."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    mode = os.environ.get("RAY_AUTH_MODE")
    with ray_session({}):
        pass
    assert os.environ.get("RAY_AUTH_MODE") == mode
    monkeypatch.setenv("RAY_ADDRESS", ray_address)
    with ray_session({}):
        assert ray.get(Alive.remote().says.remote()) == "yes"
