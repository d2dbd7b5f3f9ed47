"""`dualpt clone`: a candidate with some values of another, tried next in the same search."""

from collections.abc import Mapping
from typing import Any

from dualpt.core.errors import UserError, nearest
from dualpt.search_spaces.parameters import SHOTS
from dualpt.search_spaces.points import StartPoint, resolve
from dualpt.search_spaces.start_points import start_point
from dualpt.search_spaces.sweep import LoadedSweep, Run
from dualpt.sweeps.launching.again import STORE, STUDY, sweep_again
from dualpt.sweeps.ledger.launch_record import record_from
from dualpt.sweeps.ledger.launch_requests import Request
from dualpt.sweeps.ledger.trial_settings import trial_setting
from dualpt.sweeps.records import setting_hash
from dualpt.sweeps.steering.asking import ask
from dualpt.sweeps.steering.targets import Target, named_sweep


def clone(store: str, name: str, trial: str, values: Mapping[str, Any]) -> list[str]:
    """Queue a candidate; returns what to say of it.

    Args:
        values: searched key -> value, over those of `trial`.

    Raises:
        UserError: there is no such sweep or trial, the sweep searches nothing, or the search cannot propose it.
    """
    target = named_sweep(store, name)
    if target.trial(trial) is None:
        raise UserError(f"trial '{trial}' of '{name}' has not begun: it has no values on record yet")
    sweep = _searching(target, store)
    place = f"clone of {name}/{trial}"
    start = _point(sweep, target, store, trial, values, place)
    _refuse_known(target, sweep, start)
    request, launch = Request("clone", trial, point=start.point), target.launch
    if launch is not None:
        said = ask(target, request)
    else:
        target.ledger.ask(target.row.run_id, request)
        said = f"no launch runs it: the next one tries the candidate (dualpt sweep --again {name})"
    shown = " ".join(f"{key}={value}" for key, value in start.point.items())
    return [f"{name}: {said}", shown]


def _searching(target: Target, store: str) -> LoadedSweep:
    """The sweep as its last launch declared it.

    Raises:
        UserError: it searches nothing.
    """
    record = record_from(target.row.launched)
    if record is not None and (record.kind == "ablation" or not record.resolved.get("search")):
        raise UserError(f"'{target.name}' searches nothing, so no candidate can be added to it")
    return sweep_again(target.name, {STORE: store, STUDY: Run().study_storage})  # of the study nothing is asked here


def _point(
    sweep: LoadedSweep, target: Target, store: str, trial: str, values: Mapping[str, Any], place: str
) -> StartPoint:
    searched = {parameter.key for parameter in sweep.space}
    for key in values:
        if key not in searched:
            raise UserError(
                f"{place}: '{key}' isn't searched by '{target.name}'{nearest(key, searched)} (searched: "
                f"{', '.join(sorted(searched))}); another setting is another sweep, or its variant"
            )
    setting = trial_setting(store, f"{target.name}/{trial}")
    setting = setting.with_values({key: value for key, value in values.items() if key != SHOTS}, source=place)
    shots = values.get(SHOTS, _shots_of(target, trial)) if sweep.file.searches_shots else None
    return start_point(sweep, trial, setting, place, shots)


def _shots_of(target: Target, trial: str) -> int | None:
    """The shots at which a candidate was judged; None where none of its cells is on record."""
    rows = target.ledger.shown_cells(target.experiment, ())
    return next((row.shots for row in rows if row.trial == trial), None)


def _refuse_known(target: Target, sweep: LoadedSweep, start: StartPoint) -> None:
    """
    Raises:
        UserError: a candidate with these very values is on record, so training it would tell nothing.
    """
    if sweep.file.searches_shots:  # then the study knows, and trains no candidate twice
        return
    wanted = setting_hash(resolve(start.point, sweep.reference)[0])
    for name, row in target.trials().items():
        if row.ref.kind == "search" and row.ref.setting == wanted:
            remedy = "; --restart-stopped goes on with it" if row.stopped else ""
            raise UserError(f"'{target.name}' has tried these values: they are {name}'s{remedy}")
