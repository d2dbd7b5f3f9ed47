"""`dualpt rename`: MLflow's experiment, its runs and Optuna's studies under another name.

The sweep's run says first that it is being renamed, and to what. Each step after that may be cut off, and is taken
again by the same command; until all are done no launch begins.
"""

import json
import re
from collections.abc import Callable

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import SweepFile
from dualpt.sweeps.comparison.frames import open_ledger
from dualpt.sweeps.launching.again import command_again
from dualpt.sweeps.ledger.launch_record import launch_of
from dualpt.sweeps.search.study_upkeep import rename_studies, studies_of
from dualpt.sweeps.steering.study_places import study_storage
from dualpt.sweeps.steering.targets import Target, named_sweep
from dualpt.sweeps.stores import masked, only_launch


def rename(
    store: str,
    old: str,
    new: str,
    study: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Rename a sweep, or complete a renaming that was cut off; returns what to say of it.

    Args:
        study: Optuna's storage; by default the one that its last launch used.
        progress: called with the runs done and all of them.

    Raises:
        UserError: there is no such sweep, a launch runs it, or the new name cannot be taken.
    """
    begun = _begun(store, old, new)
    target = begun or named_sweep(store, old)
    storage = study_storage(target, study)
    if begun is None:
        _check(target, new, storage)
    with only_launch(target.ledger.uri, old), only_launch(target.ledger.uri, new):
        target.ledger.mark_renaming(target.row.run_id, _mark(old, new))
        rename_studies(storage, old, new)
        target.ledger.rename(target.experiment, new, progress)
        target.ledger.mark_renaming(target.row.run_id, "")
    completed = "" if begun is None else ": what had been cut off is complete"
    again = command_again(new, launch_of(target.row))
    return [
        f"{old} is {new} now{completed}",
        f"go on with: {again}; sweep files keep their name: give name={new}, or change it there",
    ]


def _mark(old: str, new: str) -> str:
    return json.dumps({"from": old, "to": new})


def _begun(store: str, old: str, new: str) -> Target | None:
    """The sweep whose renaming from `old` to `new` was cut off, under whichever name it is found."""
    ledger = open_ledger(store)
    for name in (old, new):
        if ledger.taken_name(name) and (experiment := ledger.find_experiment(name)) is not None:
            row = ledger.sweep_row(experiment)
            if row is not None and row.renaming == _mark(old, new):
                return Target(ledger, name, experiment, row)
    return None


def _check(target: Target, new: str, storage: str) -> None:
    """
    Raises:
        UserError: the sweep is being run or renamed otherwise, or the new name cannot be taken.
    """
    target.refuse_while_running("rename it")
    target.refuse_half_renamed()
    (pattern,) = (one.pattern for one in SweepFile.model_fields["name"].metadata if hasattr(one, "pattern"))
    if not re.fullmatch(pattern, new):
        raise UserError(f"'{new}': a sweep's name has letters, digits, dots, dashes and underscores, 100 at most")
    if target.ledger.taken_name(new):
        where = masked(target.ledger.uri)
        raise UserError(
            f"'{new}': an experiment in {where} has this name, or had it when it was deleted; choose another"
        )
    if studies_of(storage, new):
        raise UserError(f"'{new}': a study in {masked(storage)} has this name; choose another")
