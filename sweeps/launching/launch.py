"""Launch a sweep: plan it, compare the plan with the ledger, train what is missing, say what came of it.

Resuming is launching again. Nothing is kept but the ledger and the study: finished cells are found by key, candidates
by name, and a pack that was cut off goes on from its checkpoint.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs, mini_datasets_of
from dualpt.core.mini.grid import ensure_mini_grid, is_drawn
from dualpt.search_spaces.parameters import SHOTS
from dualpt.search_spaces.points import StartPoint
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.earlier_launches import (
    cells_on_record,
    left_as_they_are,
    refuse_another_file,
    selected_before,
    set_aside,
    stopped_trials,
    study_fits,
)
from dualpt.sweeps.launching.ending import command_line
from dualpt.sweeps.launching.notify import notifier_of
from dualpt.sweeps.launching.outcome import LaunchOutcome, launch_outcome, report
from dualpt.sweeps.ledger.launch_record import LaunchRecord, launch_record
from dualpt.sweeps.planning.data_notes import DataNotes, ReadNotes, data_notes
from dualpt.sweeps.planning.plan import SweepPlan, TrialPlan, count, grid_cells, judged_cells, plan_sweep
from dualpt.sweeps.stores import StoreUnavailable, examine, examine_study, is_new, masked, only_launch

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellRunner
    from dualpt.sweeps.dispatch.dispatcher import Dispatcher
    from dualpt.sweeps.launching.driver import Driver
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.records import CellRow, TrialRef


def default_runner() -> "CellRunner":
    """The real runner; torch is loaded here and no earlier."""
    from dualpt.core.running.cell_runner import CellRunner

    return CellRunner()


def launch(
    sweep: LoadedSweep,
    *,
    console: Console,
    progress: bool = True,
    runner: "Callable[[], CellRunner]" = default_runner,
    key: Callable[[Cell], str] = cell_key,
    notes: ReadNotes = data_notes,
    only_failed: bool = False,
    restart_stopped: bool = False,
) -> LaunchOutcome:
    """Run a sweep, or what is missing of it.

    Args:
        sweep: a checked sweep file.
        console: where progress and the outcome are printed.
        progress: False prints nothing but what overrides changed beyond their values, on stderr.
        runner: makes a runner, once here and once in every worker process; must be picklable.
        key: the cell key, as the runner computes it.
        notes: reads what is to be said of the sweep's datasets.
        only_failed: train only the cells that are on record as failed.
        restart_stopped: go on with the trials that users have stopped.

    Raises:
        UserError: anything the user can fix, found before the first cell is trained where that is possible.
    """
    file, launched = sweep.file, launch_record(sweep, command_line())
    plan = plan_sweep(sweep)
    if progress:
        console.print(f"  [dim]planning: {plan.cells} cells of {escape(file.name)}[/]", highlight=False)
    examine_stores(sweep)
    refuse_another_file(sweep)
    start_points = [*sweep.start_points, *selected_before(sweep)]
    with only_launch(file.run.tracking_uri, file.name), SweepProgress(console, enabled=progress) as shown:
        if "tracking_uri" not in file.run.model_fields_set and os.environ.get("MLFLOW_TRACKING_URI"):
            shown.note(f"runs are kept in {escape(masked(file.run.tracking_uri))}, as MLFLOW_TRACKING_URI says")
        say = shown.note if progress else _on_stderr  # what changes the results is said in any case
        notifier = notifier_of(sweep, say)
        shown.observers.append(notifier)
        shown.step("reading images and weights, which cells are known by")
        for remark in (*sweep.remarks, *set_aside(sweep, key)):
            say(escape(remark))
        _begin_alone(file.run.tracking_uri, file.name, shown)
        recorded = cells_on_record(file.run.tracking_uri, file.name)
        stopped = _stopped(file.run.tracking_uri, file.name, shown.note, restart=restart_stopped)
        finished = {row.key for row in recorded if row.finished}
        only = None
        if only_failed:
            only = frozenset(row.key for row in recorded if row.status == "FAILED")
            sweep = without_new_candidates(sweep, recorded)
            plan = plan_sweep(sweep)
        own = [row for row in recorded if row.finished]
        left = plan.without({ref.identity for ref in stopped})
        skipped = left_as_they_are(sweep, key, stopped)
        missing = count(left, own, own if study_fits(sweep, key) else [], key, skipped).missing
        noted = notes(sweep, plan)  # after the keys, which read the images
        if missing:
            for line in noted.lines():
                shown.note(escape(line))
            shown.step(f"cells missing: {missing}; loading PyTorch")
            wanted = only.__contains__ if only is not None else lambda key: key not in finished
            _check_and_prepare(sweep, left, wanted, runner, key, shown)
        shown.step("creating the ledger" if is_new(file.run.tracking_uri) else "opening the ledger")
        driver = _open_driver(sweep, plan, runner, key, shown, start_points, only, noted, launched)
        with notifier.telling_errors(lambda: shown.state):
            driver.run()
        with contextlib.suppress(StoreUnavailable):  # the next launch finds them
            _deliver_artifacts(file.run.tracking_uri, shown.note)
    outcome = _outcome(sweep, driver, noted)
    if progress:
        report(outcome, console)
    notifier.ended(outcome, shown.state)
    return outcome


def _stopped(uri: str, name: str, note: Callable[[str], None], *, restart: bool) -> "list[TrialRef]":
    """The trials that stay stopped; with `restart` none, and their marks are taken away."""
    stopped = stopped_trials(uri, name)
    if not stopped:
        return []
    names = escape(", ".join(ref.name for ref in stopped))
    if not restart:
        note(f"stopped trials stay stopped: {names}; --restart-stopped goes on with them")
        return stopped
    from dualpt.sweeps.ledger.mlflow import Ledger

    ledger = Ledger(uri)
    for ref in stopped:
        ledger.restart_trial(ref.run_id)
    note(f"stopped trials go on: {names}")
    return []


def _outcome(sweep: LoadedSweep, driver: "Driver", noted: DataNotes) -> LaunchOutcome:
    """What came of the launch, from what is on record now."""
    from dualpt.sweeps.comparison.searched.candidate_ranks import read_candidates
    from dualpt.sweeps.ledger.opening import open_reader

    name, reader = sweep.file.name, open_reader(sweep.file.run.tracking_uri)
    experiment = reader.named_experiment(name)
    rows = reader.shown_cells(experiment)
    candidates = read_candidates(reader, experiment, rows, reader.sweep_row(experiment))
    return launch_outcome(name, driver, rows, noted.judged, candidates)


def _on_stderr(line: str) -> None:
    """Print a note, which is markup as those of `SweepProgress` are."""
    Console(stderr=True).print(f"  {line}", highlight=False, markup=True, soft_wrap=True)


def without_new_candidates(sweep: LoadedSweep, recorded: "Sequence[CellRow]") -> LoadedSweep:
    """The sweep with as many candidates as have been judged or begun, none of them new.

    Raises:
        UserError: no cell is on record as failed.
    """
    if not any(row.status == "FAILED" for row in recorded):
        raise UserError(f"--only-failed: sweep '{sweep.file.name}' has no failed cell on record; leave the option out")
    known = len({row.trial for row in recorded if row.kind == "search"})
    search = sweep.file.search
    if search is not None:
        search = search.model_copy(update={"trials": min(search.trials, known)}) if known else None
    file = sweep.file.model_copy(update={"search": search})
    return replace(sweep, file=file, space=sweep.space if search else ())


def _begin_alone(uri: str, name: str, shown: SweepProgress) -> None:
    """Refuse a second driver on another machine; then deliver what an earlier launch could not.

    Raises:
        UserError: the sweep is being run elsewhere.
    """
    if is_new(uri):
        return
    from dualpt.sweeps.ledger.heartbeat import refuse_second
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.ledger.outbox import Outbox

    ledger, outbox = Ledger(uri), Outbox(uri)
    refuse_second(ledger, ledger.find_experiment(name), name)
    if delivered := outbox.deliver(ledger):
        shown.note(f"delivered {len(delivered)} results that an earlier launch could not record")
    _deliver_artifacts(uri, shown.note)


def _deliver_artifacts(uri: str, note: Callable[[str], None]) -> None:
    """Deliver the artifacts of cells whose numbers are on record; say what still waits, and why."""
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.ledger.outbox import Outbox

    outbox = Outbox(uri)
    left, reason = outbox.deliver_artifacts(Ledger(uri, create=False))
    if left:
        note(
            f"[yellow]artifacts of {left} cells wait[/] in {escape(str(outbox.folder))} ({escape(reason or '')}); "
            "their numbers are on record, and the next launch delivers the rest"
        )


def examine_stores(sweep: LoadedSweep) -> None:
    """Find whether the sweep can be recorded where it says. Writes nothing.

    Raises:
        UserError: its tracking store or its study cannot be used.
    """
    run = sweep.file.run
    examine(run.tracking_uri)
    if sweep.file.search is not None:
        examine_study(run.study_storage)


def draw_mini_datasets(sweep: LoadedSweep, *, console: Console, progress: bool = True) -> None:
    """Draw the sweep's mini datasets that are not on disk, with progress; cell keys would draw them silently."""
    if sweep.reference.data.features is not None:
        return
    for root, names in mini_datasets_of(map(CellInputs, grid_cells(sweep, sweep.reference))).items():
        with SweepProgress(console, enabled=progress) as shown:
            if not all(is_drawn(root, name) for name in names):
                shown.step("drawing the mini datasets")
            ensure_mini_grid(root, names, shown.preparing)


def _check_and_prepare(
    sweep: LoadedSweep,
    plan: SweepPlan,
    wanted: Callable[[str], bool],
    make_runner: "Callable[[], CellRunner]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
) -> None:
    """Find every fault of the inputs before anything is written, then compute features while one process runs.

    Args:
        wanted: whether the cell of a key is to be trained.

    On a cluster, features are left to the workers: they have the accelerators, and disks of their own.
    """
    cells = [cell for baseline in plan.baselines for cell in baseline.cells]
    if sweep.file.search is not None:
        cells += [*judged_cells(sweep, sweep.reference), *grid_cells(sweep, sweep.reference)]
    runner = make_runner()
    shown.step("checking every dataset, setting and weight")
    runner.check([*cells, *_corner_cells(sweep)])
    if not os.environ.get("RAY_ADDRESS"):
        shown.step("encoding images that have no features yet")
        runner.prepare([cell for cell in cells if wanted(key(cell))], shown.preparing)


def _corner_cells(sweep: LoadedSweep) -> list[Cell]:
    """The reference's cells with each parameter at each of its ends, one per dataset: bounds may not fit the data."""
    corners: list[Cell] = []
    for parameter in sweep.space:
        if parameter.key == SHOTS:
            continue
        switched_on = {key: allowed[0] for key, allowed in parameter.when.items()}
        for end in parameter.ends:
            setting = sweep.reference.with_values({**switched_on, parameter.key: end}, source="search.space")
            by_dataset = {cell.dataset: cell for cell in judged_cells(sweep, setting)}
            corners += by_dataset.values()
    return corners


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


def _open_driver(
    sweep: LoadedSweep,
    plan: SweepPlan,
    runner: "Callable[[], CellRunner]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
    start_points: Sequence[StartPoint],
    only: frozenset[str] | None,
    noted: DataNotes,
    launched: LaunchRecord,
) -> "Driver":
    from dualpt.sweeps.launching.driver import Driver
    from dualpt.sweeps.workers.gpu_shares import heaviest_pack

    def reopen(ledger: "Ledger") -> "Dispatcher":
        recorded = cells_on_record(sweep.file.run.tracking_uri, sweep.file.name)
        return open_dispatcher(sweep, plan, recorded, key, shown, ledger, start_points, noted, only, launched)

    cells = [*(cell for baseline in plan.baselines for cell in baseline.cells), *_corner_cells(sweep)]
    return Driver(sweep.file, reopen, runner, heaviest_pack(cells), shown)
