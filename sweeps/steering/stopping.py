"""`dualpt stop`: a sweep finishes what is in training and ends, or a trial gets no further cell."""

from dualpt.core.errors import UserError
from dualpt.sweeps.launching.again import command_again
from dualpt.sweeps.ledger.launch_record import launch_of
from dualpt.sweeps.ledger.launch_requests import Request, asker
from dualpt.sweeps.steering.asking import ask
from dualpt.sweeps.steering.targets import Target, named_sweep


def stop(store: str, name: str, trial: str | None) -> list[str]:
    """Stop a sweep or one of its trials; returns what to say of it. Finished cells are always kept.

    Raises:
        UserError: there is no such sweep or trial, or nothing to stop.
    """
    target = named_sweep(store, name)
    return _stop_sweep(target) if trial is None else _stop_trial(target, trial)


def _stop_sweep(target: Target) -> list[str]:
    launch = target.launch
    if launch is None:
        ended = "was killed" if target.row.status == "RUNNING" else f"ended as {target.row.status.lower()}"
        raise UserError(f"no launch runs sweep '{target.name}' (the last one {ended}): there is nothing to stop")
    said = ask(target, Request("stop", launch=launch.number))
    return [f"{target.name} (process {launch.process} on {launch.host}): {said}", _how_to_go_on(target)]


def _stop_trial(target: Target, trial: str) -> list[str]:
    row, launch = target.trial(trial), target.launch
    if row is not None and row.stopped:
        raise UserError(f"trial '{trial}' of '{target.name}' is stopped already; {_restart(target)}")
    if row is not None and row.status == "FINISHED":
        raise UserError(f"trial '{trial}' of '{target.name}' has finished: there is nothing to stop")
    if launch is not None:
        said = ask(target, Request("stop", trial, launch.number))
    elif row is None:
        raise UserError(
            f"trial '{trial}' of '{target.name}' has not begun, and no launch runs the sweep; leave it out of the next "
            "launch (baselines=…, or the file)"
        )
    else:
        target.ledger.stop_trial(row.ref, asker())
        said = f"{trial} is stopped: no launch trains it further"
    return [f"{target.name}: {said}", _restart(target)]


def _how_to_go_on(target: Target) -> str:
    return f"go on with: {_again(target)}"


def _restart(target: Target) -> str:
    return f"stopped trials stay stopped; to go on with them: {_again(target)} --restart-stopped"


def _again(target: Target) -> str:
    """The command that launches it again."""
    return command_again(target.name, launch_of(target.row))
