"""Signals that end a launch: Ctrl-C, SIGTERM as batch systems send it, SIGHUP as a closed terminal does.

The first lets running packs finish, the second aborts them. After SIGTERM or SIGHUP there is a time limit, as whoever
sends them kills soon after: Slurm's KillWait and Kubernetes' grace period are 30 s by default.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PACK_SECONDS = 12.0
"""After SIGTERM or SIGHUP, how long running packs may go on; then they are aborted, and resumed by the next launch."""
LAST_SECONDS = 25.0
"""After SIGTERM or SIGHUP, how long the launch may take to close; then it ends as it stands."""


class Interrupts:
    """The signals of a launch. Handlers are in force inside of `with`, in the main thread alone."""

    def __init__(self, drain: Callable[[int], None], give_up: Callable[[], None]) -> None:
        """
        Args:
            drain: called with the number of the first signal; later ones raise KeyboardInterrupt in the main thread.
            give_up: called in a thread when a launch that has been told to end has not done so in time.
        """
        self._drain, self._give_up = drain, give_up
        self._received: list[int] = []
        self._aborting = self._aborted = False
        self._timers: list[threading.Timer] = []
        self._terminals: list[int] = []
        self._restored = contextlib.ExitStack()

    def __bool__(self) -> bool:
        """Whether any signal came."""
        return bool(self._received)

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._terminals = [fd for fd in (0, 1, 2) if os.isatty(fd)]
            self._restored.enter_context(keeping_handlers())
            for number in SIGNALS:
                if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                    signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._restored.close()
        for timer in self._timers:
            timer.cancel()

    def abort(self) -> None:
        """Raise KeyboardInterrupt in the main thread, from whichever thread this is called in."""
        if not self._aborted:
            self._aborting = True
            os.kill(os.getpid(), signal.SIGINT)

    def _on_signal(self, number: int, _: object) -> None:
        if number == signal.SIGHUP:
            self._leave_terminal()
        if self._aborting and not self._aborted:
            self._aborted = True
            raise KeyboardInterrupt
        self._received.append(number)
        if number != signal.SIGINT:
            self._limit()
        if len(self._received) == 1:
            self._drain(number)
        elif number == signal.SIGINT or not self._aborted:  # batch systems repeat theirs while the launch closes
            self._aborted = True
            raise KeyboardInterrupt

    def _limit(self) -> None:
        if self._timers:
            return
        self._timers = [threading.Timer(PACK_SECONDS, self.abort), threading.Timer(LAST_SECONDS, self._give_up)]
        for timer in self._timers:
            timer.daemon = True
            timer.start()

    def _leave_terminal(self) -> None:
        """Write to nowhere what would go to a terminal that is gone: every write would fail."""
        for fd in self._terminals:
            if not os.isatty(fd):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, fd)
                os.close(nowhere)


@contextlib.contextmanager
def keeping_handlers() -> Iterator[None]:
    """Put back the handlers of `SIGNALS` that are there now, whatever is installed meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
