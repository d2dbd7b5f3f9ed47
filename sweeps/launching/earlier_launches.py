"""What earlier launches left in the stores, read without changing them, so a dry run may ask too.

Loads MLflow and Optuna only where a store exists.
"""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.search_spaces.points import StartPoint
from dualpt.search_spaces.start_points import start_point
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.console import counted
from dualpt.sweeps.planning.plan import judged_cells
from dualpt.sweeps.stores import is_new, masked

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.reading import SweepReader
    from dualpt.sweeps.records import CellRow, SweepRow, TrialRef


def _recorded(uri: str, name: str) -> "tuple[SweepReader, str] | None":
    """What reads the store, and the sweep's experiment in it; None where there is no store or no such sweep yet."""
    if is_new(uri):
        return None
    from dualpt.sweeps.ledger.opening import open_reader

    reader = open_reader(uri)
    experiment = reader.find_experiment(name)
    return None if experiment is None else (reader, experiment)


def cells_on_record(uri: str, name: str) -> "list[CellRow]":
    """The sweep's recorded cells; none where there is no store or no such sweep yet."""
    if (found := _recorded(uri, name)) is None:
        return []
    reader, experiment = found
    return reader.shown_cells(experiment)


def stopped_trials(uri: str, name: str) -> "list[TrialRef]":
    """The sweep's trials that users have stopped; none where there is no store or no such sweep yet."""
    if (found := _recorded(uri, name)) is None:
        return []
    reader, experiment = found
    return reader.stopped_trials(experiment)


def _row_on_record(uri: str, name: str) -> "SweepRow | None":
    if (found := _recorded(uri, name)) is None:
        return None
    reader, experiment = found
    return reader.sweep_row(experiment)


def queued_candidates(uri: str, name: str) -> list[str]:
    """A line on the candidates that users have cloned since the last launch, if any: they are beyond the plan."""
    row = _row_on_record(uri, name)
    if row is None or not row.queued:
        return []
    return [f"candidates that `dualpt clone` has queued, tried beyond this plan: {row.queued}"]


def refuse_another_file(sweep: LoadedSweep) -> None:
    """Let no file take over the experiment of another.

    Raises:
        UserError: the sweep of this name was recorded with another fixed setting.
    """
    uri = sweep.file.run.tracking_uri
    if is_new(uri):
        return
    from dualpt.sweeps.ledger.fixed_setting import refuse_other_file

    row = _row_on_record(uri, sweep.file.name)
    if row is not None:
        refuse_half_renamed(row)
    refuse_other_file(sweep, "" if row is None else row.fixed)


def refuse_half_renamed(row: "SweepRow") -> None:
    """
    Raises:
        UserError: a renaming of the sweep was cut off, so its records have two names.
    """
    if row.renaming:
        names = json.loads(row.renaming)
        old, new = names["from"], names["to"]
        raise UserError(f"sweep '{row.name}' is half renamed: complete it first (`dualpt rename {old} {new}`)")


def finished_anywhere(uri: str, params: Sequence[str] = ()) -> "list[CellRow]":
    """Finished cells of every sweep in the store, with these parameters; none where there is no store yet.

    Of several with the same key one that was trained, since the time of one that took its numbers says nothing.
    """
    if is_new(uri):
        return []
    from dualpt.sweeps.ledger.opening import open_reader

    rows = open_reader(uri).finished_rows(params)
    return list({row.key: row for row in sorted(rows, key=lambda row: row.reused_from is None)}.values())


def selected_before(sweep: LoadedSweep, *, only_looking: bool = False) -> list[StartPoint]:
    """What the earlier sweeps selected, or the trials of theirs, that this search starts from.

    Args:
        only_looking: refuse a store that would be migrated.

    Raises:
        UserError: there is no such sweep or trial in the store, or its setting lies outside this search's space.
    """
    names = [] if sweep.file.search is None else sweep.file.search.earlier_sweeps
    if not names:
        return []
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.ledger.mlflow.database import refuse_to_migrate

    place, found = "search.start_from", []
    uri = sweep.file.run.tracking_uri
    if is_new(uri):
        raise UserError(f"{place}: sweep:{names[0]}: there is no store {masked(uri)} yet; run that sweep first")
    for name in names:
        try:
            if only_looking:
                refuse_to_migrate(uri)
            settings = list(Ledger(uri).trial_settings(name).values())
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        for number, values in enumerate(settings):
            label = f"sweep:{name}" if number == 0 else f"sweep:{name} ({number + 1})"
            found.append(start_point(sweep, label, Setting().with_values(values, source=label), place))
    return found


def study_fits(sweep: LoadedSweep, key: Callable[[Cell], str]) -> bool:
    """Whether recorded candidates were proposed from this space and judged on these very cells."""
    if sweep.file.search is None:
        return True
    from dualpt.sweeps.search import study_fits

    return study_fits(sweep, [key(cell) for cell in judged_cells(sweep, sweep.reference)])


def set_aside(sweep: LoadedSweep, key: Callable[[Cell], str]) -> list[str]:
    """What to say of recorded candidates that a launch will set aside or judge again; nothing where it goes on."""
    if sweep.file.search is None:
        return []
    from dualpt.sweeps.search import study_change

    change = study_change(sweep, [key(cell) for cell in judged_cells(sweep, sweep.reference)])
    if change is None:
        return []
    name, count = sweep.file.name, counted(change.candidates, "candidate")
    are, their, them = ("is", "its", "it") if change.candidates == 1 else ("are", "their", "them")
    if change.same_space:
        return [
            f"the cells that candidates of '{name}' are judged on have changed: its {count} {are} judged again; "
            f"{their} cells stay on record, and the study as '{change.kept}'"
        ]
    names = "'trial-001 (before 1)'" + ("" if change.candidates == 1 else " and so on")
    return [
        f"the search space of '{name}' has changed: its {count} {are} set aside as {names}, and the study as "
        f"'{change.kept}'; `dualpt compare {name} --candidates` shows {them} beside the new ones, and name=… keeps "
        "both searches apart"
    ]


def given_up(sweep: LoadedSweep, key: Callable[[Cell], str]) -> list[str]:
    """Recorded candidates that the sweep's race has given up; without a race they are to be finished."""
    if sweep.file.search is None or sweep.file.search.racing == "none":
        return []
    from dualpt.sweeps.search import given_up

    return given_up(sweep, [key(cell) for cell in judged_cells(sweep, sweep.reference)])


def left_as_they_are(sweep: LoadedSweep, key: Callable[[Cell], str], stopped: "Sequence[TrialRef]") -> set[str]:
    """Recorded candidates that are not trained further: given up by the race, or stopped by users."""
    names = {ref.name for ref in stopped if ref.kind == "search"} if study_fits(sweep, key) else set()
    return names.union(given_up(sweep, key))
