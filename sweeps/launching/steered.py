"""What users ask of a running launch (`dualpt stop`, `dualpt clone`), carried out by its driver between two reports."""

import queue
from collections.abc import Callable
from typing import assert_never

from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.search_spaces.points import StartPoint
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.ledger.launch_requests import Request
from dualpt.sweeps.ledger.mlflow import Ledger


class Steering:
    """Requests that the heartbeat's thread has found, until the main thread carries them out."""

    def __init__(self, ledger: Ledger, note: Callable[[str], None]) -> None:
        """
        Args:
            ledger: takes the answers; used by the main thread alone.
            note: shows a line of markup.
        """
        self._ledger, self._note = ledger, note
        self._waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.stopped = False
        """Whether a user has stopped the sweep."""

    def found(self, request: Request) -> None:
        """Have a request carried out; called in any thread."""
        self._waiting.put(request)

    def carry_out(self, dispatcher: Dispatcher) -> None:
        """Carry out what has been asked meanwhile, and answer."""
        while not self._waiting.empty():
            request = self._waiting.get()
            answer = self._carry_out(request, dispatcher)
            self._note(escape(f"{answer} ({request.verb}, asked by {request.by})"))
            self._ledger.answer(dispatcher.sweep_run, request, answer)

    def _carry_out(self, request: Request, dispatcher: Dispatcher) -> str:
        match request.verb:
            case "stop" if request.trial:
                return dispatcher.stop(request.trial, request.by)
            case "stop":
                self.stopped = dispatcher.draining = True
                return "the sweep stops: it finishes the packs in training"
            case "clone":
                try:
                    return dispatcher.enqueue(StartPoint(clone_label(request), dict(request.point)))
                except UserError as error:  # the file has changed since
                    return f"refused: {error}"
            case _:
                assert_never(request.verb)


def clone_label(request: Request) -> str:
    """What the study calls a candidate that was asked for; the same request is queued once."""
    return f"clone of {request.trial} ({request.number})"
