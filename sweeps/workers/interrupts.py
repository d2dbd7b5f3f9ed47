"""Ctrl-C, and SIGTERM as batch systems send it: the first lets running packs finish, the second aborts them."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def draining_on_interrupt(drain: Callable[[], None]) -> Iterator[list[int]]:
    """Make the first signal call `drain` and the second raise KeyboardInterrupt; yields the list of those that came."""
    interrupts: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def on_interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        if len(interrupts) > 1:
            raise KeyboardInterrupt
        drain()

    with keeping_handlers():
        for number in SIGNALS:
            signal.signal(number, on_interrupt)
        yield interrupts


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
