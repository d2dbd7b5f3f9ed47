"""How the driver hears what workers say: each leaves a note in Ray's control service, where the driver looks."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Self

import ray

from dualpt.sweeps.dispatch.worker_reports import FreshReports, WorkerReport
from dualpt.sweeps.ray_private import drop_notes, notes, put_note

LOOK_SECONDS = 1.0
"""Between two looks of the driver."""
LAST_SECONDS = 2.0
"""How long a driver waits for its last look: the service may be gone."""


def send_note(worker: int, text: str) -> None:
    """Put a worker's report where the driver of its job looks; waits for the service."""
    put_note(f"{_prefix()}{worker}", text)


class Listener:
    """Looks at what workers say, in a thread."""

    def __init__(self, heard: Callable[[Sequence[WorkerReport]], None]) -> None:
        """
        Args:
            heard: takes what the workers that train report; called in the thread, for as long as any is known.
        """
        self._heard, self._fresh = heard, FreshReports()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="dualpt-listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LAST_SECONDS)
        self._heard(())

    def _listen(self) -> None:
        with contextlib.suppress(Exception):  # Ray is gone, as the pool will find; nothing depends on reports
            prefix = _prefix()
            while not self._over.wait(LOOK_SECONDS):
                with contextlib.suppress(Exception):  # the service starts again
                    self._heard(self._fresh.among(notes(prefix)))
            drop_notes(prefix)


def _prefix() -> str:
    """Of the names of a launch's notes; the driver and its workers belong to one job."""
    return f"workers/{ray.get_runtime_context().get_job_id()}/"
