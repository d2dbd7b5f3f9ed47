"""One driver per sweep, on whatever machine: who runs it and how far it is, written on its run now and then.

The lock of a single machine (`stores.only_launch`) ends with its process. Between machines only the store is shared: a
launch that has not been heard of for `STALE_SECONDS` counts as gone, and another may take the sweep over. The one that
was taken over finds the other's name at its next beat, and stops.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter, ValidationError

from dualpt.core.errors import UserError
from dualpt.core.files.half_written import is_running
from dualpt.sweeps.ledger.launch_requests import Request
from dualpt.sweeps.stores import StoreUnavailable

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.mlflow import Ledger

BEAT_SECONDS = 10.0
LOOK_SECONDS = 5.0
"""Between two looks at the sweep's run, for another launch and for what users ask of this one."""
STALE_SECONDS = 60.0


@dataclass(frozen=True)
class Launch:
    """A process that runs a sweep, as the store knows it."""

    number: str = field(default_factory=lambda: uuid.uuid4().hex)
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    beat: float = 0.0
    """When it last gave a sign of life, in seconds since the epoch."""
    state: dict[str, Any] = field(default_factory=dict)
    """How far it is (`SweepProgress.state`)."""
    over: bool = False
    """Whether this is its last word: `state` is what it has come to."""

    @property
    def age(self) -> float:
        """Seconds since the last sign of life."""
        return max(0.0, time.time() - self.beat)

    @property
    def alive(self) -> bool:
        """Whether it may still be running; a process of this machine is looked for."""
        if self.host == socket.gethostname() and not is_running(self.process):
            return False
        return self.age < STALE_SECONDS

    def text(self) -> str:
        return json.dumps(asdict(self))


def launch_from(text: str) -> Launch | None:
    """The launch that a sweep's run names, or None."""
    try:
        return TypeAdapter(Launch).validate_json(text)
    except ValidationError:
        return None


def running_launch(ledger: "Ledger", experiment_id: str | None) -> Launch | None:
    """The launch that runs the sweep now, or None."""
    found = None if experiment_id is None else ledger.launch_of(experiment_id)
    if found is None or found.status != "RUNNING":
        return None
    launch = launch_from(found.launch)
    return launch if launch is not None and launch.alive else None


def refuse_second(ledger: "Ledger", experiment_id: str | None, name: str) -> None:
    """Let no second driver begin.

    Raises:
        UserError: the sweep is being run by another process.
    """
    if (other := running_launch(ledger, experiment_id)) is not None:
        raise UserError(
            f"sweep '{name}' is being run by process {other.process} on {other.host} (last sign of life "
            f"{other.age:.0f} s ago); wait for it, or give this one another name with name=…; if that machine is gone, "
            f"launch again in {max(1.0, STALE_SECONDS - other.age):.0f} s"
        )


class Heartbeat:
    """Writes signs of life from a separate thread while the sweep runs."""

    def __init__(
        self,
        ledger: "Ledger",
        sweep_run: str,
        experiment_id: str,
        state: Callable[[], dict[str, Any]],
        displaced: Callable[[str], None],
        seconds: float = BEAT_SECONDS,
        asked: Callable[[Request], None] = lambda request: None,
    ) -> None:
        """
        Args:
            ledger: used by the thread alone.
            sweep_run: run that the signs are written on.
            experiment_id: the sweep's.
            state: how far the sweep is.
            displaced: called once, with the reason, when another launch has taken the sweep over.
            seconds: between two signs.
            asked: called once for each request to this launch, in whichever thread finds it.
        """
        self._ledger, self._run, self._experiment, self._seconds = ledger, sweep_run, experiment_id, seconds
        self._state, self._displaced, self._asked = state, displaced, asked
        self._known: set[str] = set()
        """Numbers of the requests that have been found."""
        self._launch = Launch()
        self._over = threading.Event()
        self._taken_over = False
        self._thread = threading.Thread(target=self._beat_on, name="dualpt-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._beat()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if not self._taken_over:
            with contextlib.suppress(UserError):  # the store is away, or refuses it: then the last beat stands
                self._beat(over=True)

    def _beat_on(self) -> None:
        beaten = time.monotonic()
        while not self._over.wait(min(self._seconds, LOOK_SECONDS)):
            try:
                if (other := self._look()) is not None:
                    self._taken_over = True
                    self._displaced(f"process {other.process} on {other.host} has taken the sweep over; this one stops")
                    return
                if time.monotonic() - beaten >= self._seconds:
                    self._beat()
                    beaten = time.monotonic()
            except StoreUnavailable:
                continue  # the driver finds out by itself, and waits

    def _look(self) -> Launch | None:
        """Pass on what is asked of this launch; returns the one that has taken the sweep over, if any."""
        if (found := self._ledger.launch_of(self._experiment)) is None:
            return None
        for request in found.requests:
            if not request.answer and request.launch in ("", self._launch.number) and request.number not in self._known:
                self._known.add(request.number)
                self._asked(request)
        other = launch_from(found.launch)
        if other is None or other.number == self._launch.number or other.started <= self._launch.started:
            return None
        return other

    def _beat(self, *, over: bool = False) -> None:
        launch = replace(self._launch, beat=time.time(), state=self._state(), over=over)
        self._ledger.mark_launch(self._run, launch.text())
