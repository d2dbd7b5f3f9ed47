"""What $RAY_ADDRESS may name; no Ray is started, and none is asked."""

import re
import socket

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.workers.connection import ray_address
from dualpt.sweeps.workers.connection.ray_address import LOCAL, examine_ray_address


@pytest.mark.parametrize("address", [None, "", "local"])
def test_without_an_address_ray_is_started_here(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    if address is None:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", address)
    assert ray_address.ray_address() == LOCAL
    examine_ray_address()


def test_a_port_that_answers_may_be_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        examine_ray_address()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "host:1:2", "127.0.0.1:99999", "http://:8265"])
def test_where_nothing_can_listen_is_one_line_at_once(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Ray itself waits for a minute or more."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"^RAY_ADDRESS={re.escape(address)}: no Ray cluster can be used there") as told:
        examine_ray_address()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("address", ["ray://head:10001", "ray://127.0.0.1", "ray://"])
def test_rays_client_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """It connects, and the first question about the cluster's state ends in "Ray has not been started yet"."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=rf"^RAY_ADDRESS={address}: .*launch on a machine of the cluster"):
        examine_ray_address()


def test_a_stale_address_file_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(ray_address, "recorded_address", lambda: "127.0.0.1:1")
    with pytest.raises(UserError, match="RAY_ADDRESS=auto: no Ray cluster can be used there"):
        examine_ray_address()
