"""A dispatcher on an open study and ledger, with what the launch declares of its sweep on record."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

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
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.records import CellRow


def open_dispatcher(
    sweep: LoadedSweep,
    plan: SweepPlan,
    recorded: "Sequence[CellRow]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
    ledger: "Ledger | None" = None,
    start_points: Sequence[StartPoint] = (),
    noted: DataNotes | None = None,
    only: frozenset[str] | None = None,
    launched: LaunchRecord | None = None,
) -> "Dispatcher":
    """Open the study and the ledger; both are created here, before any worker can look.

    Args:
        noted: what is to be recorded of the sweep's datasets.
        only: keys of the only cells that may be trained; None is all.
        launched: what is to be recorded of how it is launched.
    """
    from dualpt.sweeps.dispatch.dispatcher import Dispatcher
    from dualpt.sweeps.dispatch.interfaces import NO_CANDIDATES, CandidateSource
    from dualpt.sweeps.launching.mlflow_page import show_trials_first
    from dualpt.sweeps.ledger.fixed_setting import fixed_text, fixed_values
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.planning.declared import declaration
    from dualpt.sweeps.planning.search_record import recorded_search
    from dualpt.sweeps.racing import NO_RACE, Race, race_of
    from dualpt.sweeps.search import Candidates, study_change

    ledger = ledger or Ledger(sweep.file.run.tracking_uri)
    candidates: CandidateSource = NO_CANDIDATES
    race: Race = NO_RACE
    stopped = stopped_trials(sweep.file.run.tracking_uri, sweep.file.name)
    if (search := sweep.file.search) is not None:
        judged = judged_cells(sweep, sweep.reference)
        # By key: when images, descriptions or numerics change, candidates are judged again.
        judged_keys = [key(cell) for cell in judged]
        if (change := study_change(sweep, judged_keys)) is not None and not change.same_space:
            ledger.set_candidates_aside(ledger.experiment(sweep.file.name))
            stopped = [ref for ref in stopped if ref.kind != "search"]
        names = [ref.name for ref in stopped if ref.kind == "search"]
        candidates = Candidates(sweep, search, judged_keys, start_points, names)
        race = race_of(search, len({cell.dataset for cell in judged}))

    def declare(selected: Sequence[TrialPlan] = ()) -> None:
        row = ledger.sweep_row(dispatcher.experiment)
        before = row.declared if row is not None else ""
        ledger.declare(dispatcher.sweep_run, declaration(sweep, plan, before, selected))
        if noted is not None:
            ledger.describe_data(dispatcher.sweep_run, noted.recorded(row.data_notes if row is not None else ""))
        ledger.mark_fixed(dispatcher.sweep_run, fixed_text(sweep))
        if launched is not None:
            ledger.record_launch(dispatcher.sweep_run, launched, fixed_values(sweep))
            show_trials_first(sweep, ledger, dispatcher.experiment, shown)
        if search is not None:
            ledger.mark_search(dispatcher.sweep_run, recorded_search(search, row))

    dispatcher = Dispatcher(
        sweep,
        plan,
        ledger,
        recorded,
        key,
        shown,
        candidates=candidates,
        race=race,
        only=only,
        # with fixed shots, what will be selected is known now
        on_selection=declare if sweep.file.searches_shots else lambda selected: None,
        stopped=stopped,
    )
    declare()
    return dispatcher
