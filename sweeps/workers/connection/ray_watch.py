"""Notices that Ray is gone.

Ray's own client does so after a minute, and ends the process with nothing closed.
"""

import socket
import threading
import time
from collections.abc import Callable
from typing import Self

KNOCK_SECONDS = 1.0
"""Between two attempts to connect, and how long one may take."""
PATIENCE = 40.0
"""How long Ray's control service (GCS) may be away; Ray's own client ends the process after 60 s."""
HURRIED_PATIENCE = 3.0
"""The same once the launch has been told to end: a signal to all processes has ended Ray, too."""


class RayWatch:
    """Connects to the GCS again and again, in a thread."""

    def __init__(
        self,
        address: str,
        lost: Callable[[], None],
        hurried: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            address: host and port of the GCS.
            lost: called once, in the thread, when Ray is gone.
            hurried: whether the launch has been told to end.
            clock: seconds that only grow.
        """
        host, _, port = address.rpartition(":")
        self._place = (host.strip("[]"), int(port))
        self._lost, self._hurried, self._clock = lost, hurried, clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="ray watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _watch(self) -> None:
        missed_since: float | None = None  # the first knock in vain: before it this process itself may have stood still
        while not self._over.wait(KNOCK_SECONDS):
            now = self._clock()
            if self._answers():
                missed_since = None
            elif missed_since is None:
                missed_since = now
            elif now - missed_since > (HURRIED_PATIENCE if self._hurried() else PATIENCE):
                self._lost()
                return

    def _answers(self) -> bool:
        try:
            socket.create_connection(self._place, timeout=KNOCK_SECONDS).close()
        except OSError:
            return False
        return True
