"""A dispatcher on an open study and ledger, with what the launch declares of its sweep on record."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dualpt.core.cell import Cell
from dualpt.search_spaces.points import StartPoint
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.earlier_launches import stopped_trials
from dualpt.sweeps.ledger.launch_record import LaunchRecord
from dualpt.sweeps.planning.data_notes import DataNotes
from dualpt.sweeps.planning.plan import SweepPlan, TrialPlan, judged_cells

if TYPE_CHECKING:
    from dualpt.sweeps.dispatch.dispatcher import Dispatcher
    from dualpt.sweeps.dispatch.interfaces import CandidateSource
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.racing import Race
    from dualpt.sweeps.records import CellRow, TrialRef


def open_dispatcher(
    sweep: LoadedSweep,
    plan: SweepPlan,
    recorded: "Sequence[CellRow]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
    *,
    ledger: "Ledger | None" = None,
    start_points: Sequence[StartPoint] = (),
    noted: DataNotes | None = None,
    only: frozenset[str] | None = None,
    launched: LaunchRecord | None = None,
) -> "Dispatcher":
    """Open the study and the ledger; both are created here, before any worker can look.

    Args:
        noted: remarks on the sweep's datasets, to be recorded.
        only: keys of the only cells that may be trained; None is all.
        launched: how it is launched, to be recorded.
    """
    from dualpt.sweeps.dispatch.dispatcher import Dispatcher
    from dualpt.sweeps.launching.mlflow_page import show_trials_first
    from dualpt.sweeps.ledger.mlflow import Ledger

    ledger = ledger or Ledger(sweep.file.run.tracking_uri)
    study = _open_study(sweep, key, start_points, ledger)

    def declare(selected: Sequence[TrialPlan] = ()) -> None:
        _declare(sweep, plan, selected, ledger, dispatcher, noted, launched)

    dispatcher = Dispatcher(
        sweep,
        plan,
        ledger,
        recorded,
        key,
        shown,
        candidates=study.candidates,
        race=study.race,
        only=only,
        # with fixed shots, what will be selected is known now
        on_selection=declare if sweep.file.searches_shots else lambda selected: None,
        stopped=study.stopped,
    )
    declare()
    if launched is not None:
        show_trials_first(sweep, ledger, dispatcher.experiment, shown)
    return dispatcher


class _Study(NamedTuple):
    """What a search adds to a sweep."""

    candidates: "CandidateSource"
    race: "Race"
    stopped: "Sequence[TrialRef]"
    """Trials that users have stopped, those of a search without the candidates that were set aside."""


def _open_study(
    sweep: LoadedSweep, key: Callable[[Cell], str], start_points: Sequence[StartPoint], ledger: "Ledger"
) -> _Study:
    """Open the study; if its space has changed, the candidates of the former one are set aside in the ledger."""
    from dualpt.sweeps.dispatch.interfaces import NO_CANDIDATES
    from dualpt.sweeps.racing import NO_RACE, race_of
    from dualpt.sweeps.search import Candidates, study_change

    stopped = stopped_trials(sweep.file.run.tracking_uri, sweep.file.name)
    if (search := sweep.file.search) is None:
        return _Study(NO_CANDIDATES, NO_RACE, stopped)
    judged = judged_cells(sweep, sweep.reference)
    # By key: when images, descriptions or numerics change, candidates are judged again.
    judged_keys = [key(cell) for cell in judged]
    if (change := study_change(sweep, judged_keys)) is not None and not change.same_space:
        ledger.set_candidates_aside(ledger.experiment(sweep.file.name))
        stopped = [ref for ref in stopped if ref.kind != "search"]
    names = [ref.name for ref in stopped if ref.kind == "search"]
    candidates = Candidates(sweep, search, judged_keys, start_points, names)
    return _Study(candidates, race_of(search, len({cell.dataset for cell in judged})), stopped)


def _declare(
    sweep: LoadedSweep,
    plan: SweepPlan,
    selected: Sequence[TrialPlan],
    ledger: "Ledger",
    dispatcher: "Dispatcher",
    noted: DataNotes | None,
    launched: LaunchRecord | None,
) -> None:
    """Put on the sweep's run what is going to be trained, on which data, and how it was launched."""
    from dualpt.sweeps.ledger.fixed_setting import fixed_text, fixed_values
    from dualpt.sweeps.planning.declared import declaration
    from dualpt.sweeps.planning.search_record import recorded_search

    row, run = ledger.sweep_row(dispatcher.experiment), dispatcher.sweep_run
    ledger.declare(run, declaration(sweep, plan, "" if row is None else row.declared, selected))
    if noted is not None:
        ledger.describe_data(run, noted.recorded("" if row is None else row.data_notes))
    ledger.mark_fixed(run, fixed_text(sweep))
    if launched is not None:
        ledger.record_launch(run, launched, fixed_values(sweep))
    if sweep.file.search is not None:
        ledger.mark_search(run, recorded_search(sweep.file.search, row))
