"""Signals in this process: the first drains, the second aborts, and batch systems' have a time limit."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dualpt.sweeps.workers import interrupts
from dualpt.sweeps.workers.interrupts import SIGNALS, Interrupts


@pytest.fixture(autouse=True)
def a_terminal() -> Iterator[None]:
    """Tests that run under `nohup` inherit that SIGHUP is ignored; a launch leaves that so."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Told:
    """What a launch is told."""

    def __init__(self) -> None:
        self.drained: list[int] = []
        self.given_up = threading.Event()
        self.interrupts = Interrupts(self.drained.append, self.given_up.set)


def wait(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_drains_and_the_second_aborts(number: int) -> None:
    told = Told()
    before = [signal.getsignal(each) for each in SIGNALS]
    with told.interrupts:
        assert not told.interrupts
        signal.raise_signal(number)
        assert told.drained == [number]
        assert told.interrupts
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_batch_systems_may_repeat_their_signals_while_a_launch_closes() -> None:
    told = Told()
    with told.interrupts:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert told.drained == [signal.SIGTERM]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_there_is_a_limit_after_a_batch_systems_signal(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(interrupts, "PACK_SECONDS", 0.1)
    monkeypatch.setattr(interrupts, "LAST_SECONDS", 0.3)
    told = Told()
    with told.interrupts:
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
        assert told.given_up.wait(5), "closing took too long"


def test_there_is_none_after_ctrl_c_nor_when_the_launch_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "PACK_SECONDS", 0.1)
    monkeypatch.setattr(interrupts, "LAST_SECONDS", 0.1)
    told = Told()
    with told.interrupts:
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.3)
    hurried = Told()
    with hurried.interrupts:
        signal.raise_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert not told.given_up.is_set()
    assert not hurried.given_up.is_set()


def test_a_thread_aborts_the_main_one_once() -> None:
    told = Told()
    with told.interrupts:
        threading.Timer(0.1, told.interrupts.abort).start()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
        told.interrupts.abort()
        time.sleep(0.1)
    assert not told.interrupts, "no signal came from outside"


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        told = Told()
        with told.interrupts:
            signal.raise_signal(signal.SIGHUP)
        assert told.drained == []
    finally:
        signal.signal(signal.SIGHUP, before)


HANGS_UP = """
import signal, sys, time
from dualpt.sweeps.workers.interrupts import Interrupts
open(sys.argv[1], "w").close()
with Interrupts(lambda number: print("drained", number), lambda: None) as interrupts:
    print("ready", flush=True)
    while not interrupts:
        time.sleep(0.05)
    print("closing", flush=True)
open(sys.argv[1], "w").write("closed")
"""


def test_a_closed_terminal_does_not_end_a_launch_that_writes_to_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", HANGS_UP, str(tmp_path / "state")]
    # as a login shell starts it: the terminal is its controlling one, whose end sends SIGHUP
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    said = b""
    while b"ready" not in said:
        said += os.read(ours, 1024)
    os.close(ours)
    assert wait(lambda: (tmp_path / "state").read_text() == "closed", 20)
    process.wait(10)
