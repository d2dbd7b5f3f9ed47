"""A running launch is asked for something; its driver sees that within seconds, and answers."""

import time

from dualpt.sweeps.ledger.heartbeat import LOOK_SECONDS
from dualpt.sweeps.ledger.launch_requests import Request
from dualpt.sweeps.steering.targets import Target

ANSWER_SECONDS = 4 * LOOK_SECONDS
"""How long an answer is waited for; a driver that is busy with its stores takes longer than one look."""
POLL_SECONDS = 1.0


def ask(target: Target, request: Request, *, patience: float = ANSWER_SECONDS) -> str:
    """Ask the launch that runs a sweep; returns its answer, or what becomes of a request without one.

    Args:
        patience: seconds to wait for an answer.
    """
    target.ledger.ask(target.row.run_id, request)
    until = time.monotonic() + patience
    while (answer := _answer(target, request)) is None:
        if target.launch is None:
            return _launch_is_over(target, request)
        if time.monotonic() >= until:
            return "asked; the launch has not answered yet and does it when it looks next (`dualpt status` shows it)"
        time.sleep(min(POLL_SECONDS, patience))
    target.ledger.withdraw(target.row.run_id, request)
    return answer


def _answer(target: Target, request: Request) -> str | None:
    """None until there is one."""
    found = next((one for one in target.ledger.requests(target.row.run_id) if one.number == request.number), None)
    return (found.answer or None) if found is not None else "another command has taken the answer"


def _launch_is_over(target: Target, request: Request) -> str:
    if (answer := _answer(target, request)) is not None:
        target.ledger.withdraw(target.row.run_id, request)
        return answer
    if request.launch:
        target.ledger.withdraw(target.row.run_id, request)
        return "the launch had ended before it was asked"
    return "the launch had ended before it was asked; the next one does it"
