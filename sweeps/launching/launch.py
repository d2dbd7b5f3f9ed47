"""Launch a sweep: plan it, compare the plan with the ledger, train what is missing, say what came of it.

Resuming is launching again. Nothing is kept but the ledger and the study: finished cells are found by key, candidates
by name, and a pack that was cut off goes on from its checkpoint.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.core.inputs.key import cell_key
from dualpt.search_spaces.points import StartPoint
from dualpt.search_spaces.sweep import LoadedSweep, Run
from dualpt.sweeps.console import counted
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.before_training import check_and_prepare, corner_cells, examine_stores
from dualpt.sweeps.launching.declaring import open_dispatcher
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
from dualpt.sweeps.planning.plan import SweepPlan, count, plan_sweep
from dualpt.sweeps.stores import StoreUnavailable, is_new, masked, only_launch

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
        notes: reads the remarks on the sweep's datasets.
        only_failed: train only the cells that are on record as failed.
        restart_stopped: go on with the trials that users have stopped.

    Raises:
        UserError: anything the user can fix, found before the first cell is trained where that is possible.
    """
    file, launched = sweep.file, launch_record(sweep, command_line())
    plan = plan_sweep(sweep)
    if progress:
        console.print(f"  [dim]planning: {counted(plan.cells, 'cell')} of {escape(file.name)}[/]", highlight=False)
    examine_stores(sweep)
    refuse_another_file(sweep)
    start_points = [*sweep.start_points, *selected_before(sweep)]
    with only_launch(file.run.tracking_uri, file.name), SweepProgress(console, enabled=progress) as shown:
        _say_whose_store(file.run, shown.note)
        say = shown.note if progress else _on_stderr  # what changes the results is said in any case
        notifier = notifier_of(sweep, say)
        shown.observers.append(notifier)
        shown.step("reading images and weights, which cells are known by")
        for remark in (*sweep.remarks, *set_aside(sweep, key)):
            say(escape(remark))
        _begin_alone(file.run.tracking_uri, file.name, shown)
        left = _what_is_left(sweep, plan, key, shown.note, only_failed=only_failed, restart_stopped=restart_stopped)
        sweep, plan = left.sweep, left.plan
        noted = notes(sweep, plan)  # after the keys, which read the images
        if left.missing:
            _prepare(left, noted, runner, key, shown)
        _restart(file.run.tracking_uri, left.restarted, shown.note)  # after the checks, before the marks are read again
        shown.step("creating the ledger" if is_new(file.run.tracking_uri) else "opening the ledger")
        driver = _open_driver(
            sweep,
            plan,
            runner,
            key,
            shown,
            start_points=start_points,
            only=left.only,
            noted=noted,
            launched=launched,
        )
        with notifier.telling_errors(lambda: shown.state):
            driver.run()
        with contextlib.suppress(StoreUnavailable):  # the next launch finds them
            _deliver_artifacts(file.run.tracking_uri, shown.note)
    outcome = _outcome(sweep, driver, noted)
    if progress:
        report(outcome, console)
    notifier.ended(outcome, shown.state)
    return outcome


@dataclass(frozen=True)
class _Left:
    """What a launch finds to do."""

    sweep: LoadedSweep
    """With `--only-failed`, without candidates that haven't begun."""
    plan: SweepPlan
    unstopped: SweepPlan
    """The plan without the trials that users have stopped."""
    finished: frozenset[str]
    """Keys of the cells on record."""
    only: frozenset[str] | None
    """Keys of the only cells that may be trained; None is all."""
    missing: int
    """Cells to train."""
    restarted: "Sequence[TrialRef]"
    """Stopped trials to go on with, whose marks are still there."""

    def wanted(self, key: str) -> bool:
        """Whether the cell of a key is to be trained."""
        return key in self.only if self.only is not None else key not in self.finished


def _what_is_left(
    sweep: LoadedSweep,
    plan: SweepPlan,
    key: Callable[[Cell], str],
    note: Callable[[str], None],
    *,
    only_failed: bool,
    restart_stopped: bool,
) -> _Left:
    """Compare the plan with what is on record."""
    uri, name = sweep.file.run.tracking_uri, sweep.file.name
    recorded = cells_on_record(uri, name)
    marked = stopped_trials(uri, name)
    stopped, restarted = ([], marked) if restart_stopped else (marked, [])
    if stopped:
        note(f"stopped trials stay stopped: {_names(stopped)}; --restart-stopped goes on with them")
    only = None
    if only_failed:
        only = frozenset(row.key for row in recorded if row.status == "FAILED")
        sweep = without_new_candidates(sweep, recorded)
        plan = plan_sweep(sweep)
    finished = [row for row in recorded if row.finished]
    unstopped = plan.without({ref.identity for ref in stopped})
    skipped = left_as_they_are(sweep, key, stopped)
    missing = count(unstopped, finished, finished if study_fits(sweep, key) else [], key, skipped).missing
    return _Left(sweep, plan, unstopped, frozenset(row.key for row in finished), only, missing, restarted)


def _say_whose_store(run: Run, note: Callable[[str], None]) -> None:
    """Name the store where the environment has chosen it, and neither the file nor the command line."""
    if "tracking_uri" not in run.model_fields_set and os.environ.get("MLFLOW_TRACKING_URI"):
        note(f"runs are kept in {escape(masked(run.tracking_uri))}, as MLFLOW_TRACKING_URI says")


def _prepare(
    left: _Left,
    noted: DataNotes,
    runner: "Callable[[], CellRunner]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
) -> None:
    """Print the remarks on the data, then check the cells to train and compute their features."""
    for line in noted.lines():
        shown.note(escape(line))
    shown.step(f"cells missing: {left.missing}; loading PyTorch")
    check_and_prepare(left.sweep, left.unstopped, left.wanted, runner, key, shown)


def _restart(uri: str, stopped: "Sequence[TrialRef]", note: Callable[[str], None]) -> None:
    """Take the marks of stopped trials away."""
    if not stopped:
        return
    from dualpt.sweeps.ledger.mlflow import Ledger

    ledger = Ledger(uri)
    for ref in stopped:
        ledger.restart_trial(ref.run_id)
    note(f"stopped trials go on: {_names(stopped)}")


def _names(trials: "Sequence[TrialRef]") -> str:
    """As markup."""
    return escape(", ".join(ref.name for ref in trials))


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
        shown.note(f"delivered {counted(len(delivered), 'result')} that an earlier launch could not record")
    _deliver_artifacts(uri, shown.note)


def _deliver_artifacts(uri: str, note: Callable[[str], None]) -> None:
    """Deliver the artifacts of cells whose numbers are on record; say what still waits, and why."""
    from dualpt.sweeps.ledger.mlflow import Ledger
    from dualpt.sweeps.ledger.outbox import Outbox

    outbox = Outbox(uri)
    left, reason = outbox.deliver_artifacts(Ledger(uri, create=False))
    if left:
        note(
            f"[yellow]artifacts of {counted(left, 'cell')} wait[/] in {escape(str(outbox.folder))} "
            f"({escape(reason or '')}); their numbers are on record, and the next launch delivers the rest"
        )


def _open_driver(
    sweep: LoadedSweep,
    plan: SweepPlan,
    runner: "Callable[[], CellRunner]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
    *,
    start_points: Sequence[StartPoint],
    only: frozenset[str] | None,
    noted: DataNotes,
    launched: LaunchRecord,
) -> "Driver":
    from dualpt.sweeps.launching.driver import Driver
    from dualpt.sweeps.workers.gpu_shares import heaviest_pack

    def reopen(ledger: "Ledger") -> "Dispatcher":
        recorded = cells_on_record(sweep.file.run.tracking_uri, sweep.file.name)
        return open_dispatcher(
            sweep,
            plan,
            recorded,
            key,
            shown,
            ledger=ledger,
            start_points=start_points,
            noted=noted,
            only=only,
            launched=launched,
        )

    cells = [*(cell for baseline in plan.baselines for cell in baseline.cells), *corner_cells(sweep)]
    return Driver(sweep.file, reopen, runner, heaviest_pack(cells), shown)
