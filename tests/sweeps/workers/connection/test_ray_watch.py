"""Ray is gone when nothing answers at its address for long enough, and sooner once the launch has to end."""

import itertools
import socket
import threading
from collections.abc import Iterator

import pytest

from dualpt.sweeps.workers.connection import ray_watch
from dualpt.sweeps.workers.connection.ray_watch import HURRIED_PATIENCE, PATIENCE, RayWatch


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_watch, "KNOCK_SECONDS", 0.02)


class Clock:
    """Each look at it is a second later, or `step`."""

    def __init__(self, step: int = 1) -> None:
        self.seconds, self._step = 0, step

    def __call__(self) -> float:
        self.seconds += self._step
        return self.seconds


@pytest.fixture
def service() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def address(service: socket.socket) -> str:
    return f"127.0.0.1:{service.getsockname()[1]}"


@pytest.mark.parametrize(("hurried", "patience"), [(False, PATIENCE), (True, HURRIED_PATIENCE)])
def test_what_does_not_answer_is_gone_after_a_while(service: socket.socket, hurried: bool, patience: float) -> None:
    place, clock, lost = address(service), Clock(), threading.Event()
    service.close()
    with RayWatch(place, lost.set, lambda: hurried, clock):
        assert lost.wait(20)
    assert patience < clock.seconds <= patience + 3


def test_what_answers_is_there(service: socket.socket) -> None:
    clock, lost = Clock(), threading.Event()
    with RayWatch(address(service), lost.set, lambda: True, clock):
        assert not lost.wait(0.5)
    assert clock.seconds > HURRIED_PATIENCE


def test_one_knock_in_vain_after_a_long_pause_is_no_loss(
    service: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that was suspended, or too busy to knock."""
    knocks = itertools.cycle([True, False])
    monkeypatch.setattr(RayWatch, "_answers", lambda self: next(knocks))
    clock, lost = Clock(step=10), threading.Event()
    with RayWatch(address(service), lost.set, lambda: True, clock):
        assert not lost.wait(0.5)
    assert clock.seconds > 20
