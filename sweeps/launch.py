"""Launch a sweep: plan, hold the plan against the ledger, train what is missing, say what came of it.

Resuming is launching again. Nothing is kept but the ledger and the study: finished cells are found by key, candidates
by name, and a pack that was cut off goes on from its checkpoint.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from core.cells import Cell
from core.config import Setting
from core.errors import UserError
from core.inputs import cell_key, mini_datasets_of
from core.mini.grid import ensure_mini_grid
from search_spaces.parameters import SHOTS
from search_spaces.start_points import StartPoint, start_point
from search_spaces.sweep_file import LoadedSweep
from sweeps.plan import PlanCounts, SweepPlan, count, grid_cells, judged_cells, plan_sweep
from sweeps.progress import SweepProgress, readable_seconds
from sweeps.stores import absolute_uri, examine, examine_study, is_new, only_launch

if TYPE_CHECKING:
    from core.cell import Bench
    from sweeps.dealer import Dealer
    from sweeps.driver import Driver
    from sweeps.records import CellRow
    from sweeps.stored_features import FeatureCosts
    from sweeps.tracking import Ledger

COMPLETE, SOME_FAILED, BUDGET_SPENT, INTERRUPTED = 0, 3, 4, 130
"""Exit codes, besides 2 for a `UserError`."""


@dataclass(frozen=True)
class Outcome:
    """What came of a launch; counts are cells."""

    name: str
    cells: int
    trained: int
    reused: int
    """Copied from another sweep or trial of the store."""
    kept: int
    """Finished by earlier launches."""
    failed: int
    pruned: int
    """Candidates (not cells) that the race has given up."""
    interrupted: bool
    spent: bool
    """Whether `run.max_hours` ended it with cells left."""
    best: str | None
    """Name of the best candidate."""
    best_value: float | None
    """Its mean validation accuracy, in percent."""

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return INTERRUPTED
        if self.spent:
            return BUDGET_SPENT
        return SOME_FAILED if self.failed else COMPLETE

    def summary(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "exit_code": self.exit_code}


def default_bench() -> "Bench":
    """The real bench; torch is loaded here and no earlier."""
    from core.cell import Bench

    return Bench()


def launch(
    sweep: LoadedSweep,
    *,
    console: Console,
    progress: bool = True,
    bench: "Callable[[], Bench]" = default_bench,
    key: Callable[[Cell], str] = cell_key,
    only_failed: bool = False,
) -> Outcome:
    """Run a sweep, or what is missing of it.

    Args:
        sweep: a checked sweep file.
        console: where progress and the outcome are printed.
        progress: False prints nothing.
        bench: makes a bench, once here and once in every worker process; must be picklable.
        key: the cell key, as the bench computes it.
        only_failed: train nothing but the cells that are on record as failed.

    Raises:
        UserError: anything the user can mend, found before the first cell is trained where that is possible.
    """
    file = sweep.file
    plan = plan_sweep(sweep)
    examine(absolute_uri(file.run.tracking_uri))
    if file.search is not None:
        examine_study(file.run.study_storage)
    start_points = [*sweep.start_points, *_selected_before(sweep)]
    with only_launch(file.run.tracking_uri, file.name), SweepProgress(console, enabled=progress) as shown:
        _begin_alone(file.run.tracking_uri, file.name, shown)
        recorded = _recorded(file.run.tracking_uri, file.name)
        finished = {row.key for row in recorded if row.finished}
        only = None
        if only_failed:
            only = frozenset(row.key for row in recorded if row.status == "FAILED")
            sweep = without_new_candidates(sweep, recorded)
            plan = plan_sweep(sweep)
        own = [row for row in recorded if row.finished]
        if count(plan, own, own if _study_fits(sweep, key) else [], key, _given_up(sweep, key)).missing:
            wanted = only.__contains__ if only is not None else lambda key: key not in finished
            _check_and_prepare(sweep, plan, wanted, bench, key, shown)
        driver = _open_driver(sweep, plan, bench, key, shown, start_points, only)
        driver.run()
    outcome = _outcome(file.name, driver)
    if progress:
        _report(outcome, console)
    return outcome


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
    from sweeps.heartbeat import refuse_second
    from sweeps.outbox import Outbox
    from sweeps.tracking import Ledger

    ledger, outbox = Ledger(uri), Outbox(uri)
    refuse_second(ledger, ledger.find_experiment(name), name)
    if delivered := outbox.deliver(ledger):
        shown.note(f"delivered {len(delivered)} results that were kept while the tracking store was away")


def draw_mini_datasets(sweep: LoadedSweep, *, console: Console, progress: bool = True) -> None:
    """Draw the sweep's mini datasets that are not on disk, with progress; cell keys would draw them in silence."""
    for root, names in mini_datasets_of(grid_cells(sweep, sweep.reference)).items():
        with SweepProgress(console, enabled=progress) as shown:
            ensure_mini_grid(root, names, shown.preparing)


def dry_run(
    sweep: LoadedSweep,
    *,
    console: Console,
    as_json: bool = False,
    key: Callable[[Cell], str] = cell_key,
    features: "Callable[[LoadedSweep], FeatureCosts] | None" = None,
) -> None:
    """Show what a launch would do: cells, those already finished, estimated time. Writes nothing.

    Args:
        features: what its missing features cost, to be shown too.

    Raises:
        UserError: an unknown dataset, missing data, or a store that cannot be read.
    """
    plan = plan_sweep(sweep)
    uri = sweep.file.run.tracking_uri
    own = [row for row in _recorded(uri, sweep.file.name) if row.finished] if _study_fits(sweep, key) else []
    counts = count(plan, _finished_anywhere(uri), own, key, _given_up(sweep, key))
    if as_json:
        extra = {} if features is None else {"features": asdict(features(sweep))}
        print(json.dumps({"name": sweep.file.name, **asdict(counts), "missing": counts.missing, **extra}))
        return
    _print_plan(sweep, plan, counts, console)
    if features is not None:
        from sweeps.stored_features import describe

        console.print(f"  features: {describe(features(sweep))}", highlight=False)


def simulate(
    sweep: LoadedSweep, *, gpus: Sequence[int], trials: Sequence[int], console: Console, as_json: bool = False
) -> None:
    """Show how long a launch would take, by a simulation with recorded or assumed seconds. Trains and writes nothing.

    Raises:
        UserError: an unknown dataset, a store that cannot be read, or a search that cannot be simulated.
    """
    from sweeps.simulation.prediction import simulate_sweep

    uri = sweep.file.run.tracking_uri
    recorded, everywhere = _recorded(uri, sweep.file.name), _finished_anywhere(uri)
    simulate_sweep(sweep, recorded, everywhere, gpus=gpus, trials=trials, console=console, as_json=as_json)


def _recorded(uri: str, name: str) -> "list[CellRow]":
    """The sweep's cells on record; none where there is no store or no such sweep yet."""
    if is_new(uri):
        return []
    from sweeps.tracking import Ledger

    ledger = Ledger(uri)
    experiment = ledger.find_experiment(name)
    return [] if experiment is None else ledger.shown_cells(experiment)


def _finished_anywhere(uri: str) -> "list[CellRow]":
    if is_new(uri):
        return []
    from sweeps.tracking import Ledger

    return list(Ledger(uri).finished_cells().values())


def _check_and_prepare(
    sweep: LoadedSweep,
    plan: SweepPlan,
    wanted: Callable[[str], bool],
    make_bench: "Callable[[], Bench]",
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
    bench = make_bench()
    bench.check([*cells, *_corner_cells(sweep)])
    if not os.environ.get("RAY_ADDRESS"):
        bench.prepare([cell for cell in cells if wanted(key(cell))], shown.preparing)


def _selected_before(sweep: LoadedSweep) -> list[StartPoint]:
    """What the earlier sweeps selected that this search starts from.

    Raises:
        UserError: there is no such sweep in the store, or its setting lies outside this search's space.
    """
    names = [] if sweep.file.search is None else sweep.file.search.earlier_sweeps
    if not names:
        return []
    from sweeps.tracking import Ledger

    place, found = "search.start_from", []
    uri = sweep.file.run.tracking_uri
    if is_new(uri):
        raise UserError(f"{place}: sweep:{names[0]}: there is no store {uri} yet; run that sweep first")
    ledger = Ledger(uri)
    for name in names:
        try:
            settings = ledger.selected_settings(name)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        for number, values in enumerate(settings):
            label = f"sweep:{name}" if number == 0 else f"sweep:{name} ({number + 1})"
            found.append(start_point(sweep, label, Setting().with_values(values, source=label), place))
    return found


def _study_fits(sweep: LoadedSweep, key: Callable[[Cell], str]) -> bool:
    """Whether candidates on record were proposed from this space and judged on these very cells."""
    if sweep.file.search is None:
        return True
    from sweeps.search import study_fits

    return study_fits(sweep, [key(cell) for cell in judged_cells(sweep, sweep.reference)])


def _given_up(sweep: LoadedSweep, key: Callable[[Cell], str]) -> list[str]:
    """Candidates on record that the sweep's race leaves as they are; without a race they are finished."""
    if sweep.file.search is None or sweep.file.search.racing == "none":
        return []
    from sweeps.search import given_up

    return given_up(sweep, [key(cell) for cell in judged_cells(sweep, sweep.reference)])


def _corner_cells(sweep: LoadedSweep) -> list[Cell]:
    """One cell a dataset of the reference with each parameter at each of its ends: bounds may not fit the data."""
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


def _open_dealer(
    sweep: LoadedSweep,
    plan: SweepPlan,
    recorded: "Sequence[CellRow]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
    ledger: "Ledger | None" = None,
    start_points: Sequence[StartPoint] = (),
) -> "Dealer":
    """Open the study and the ledger; both are created here, before any worker can look."""
    from sweeps.dealer import Dealer
    from sweeps.declared import declaration
    from sweeps.racing import race_of
    from sweeps.search import Candidates
    from sweeps.tracking import Ledger

    candidates = race = None
    if (search := sweep.file.search) is not None:
        judged = judged_cells(sweep, sweep.reference)
        # By key: when images, descriptions or numerics change, candidates are judged again.
        candidates = Candidates(sweep, search, [key(cell) for cell in judged], start_points)
        race = race_of(search, len({cell.dataset for cell in judged}))
    ledger = ledger or Ledger(sweep.file.run.tracking_uri)
    dealer = Dealer(sweep, plan, candidates, ledger, recorded, key, shown, race)
    row = ledger.sweep_row(dealer.experiment)
    ledger.declare(dealer.sweep_run, declaration(sweep, plan, row.declared if row is not None else ""))
    return dealer


def _open_driver(
    sweep: LoadedSweep,
    plan: SweepPlan,
    bench: "Callable[[], Bench]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
    start_points: Sequence[StartPoint],
    only: frozenset[str] | None,
) -> "Driver":
    from sweeps.driver import Driver
    from sweeps.gpu_shares import heaviest_pack

    def open_dealer(ledger: "Ledger") -> "Dealer":
        recorded = _recorded(sweep.file.run.tracking_uri, sweep.file.name)
        dealer = _open_dealer(sweep, plan, recorded, key, shown, ledger, start_points)
        dealer.only = only
        return dealer

    cells = [*(cell for baseline in plan.baselines for cell in baseline.cells), *_corner_cells(sweep)]
    return Driver(sweep.file, open_dealer, bench, heaviest_pack(cells), shown)


def _outcome(name: str, driver: "Driver") -> Outcome:
    dealer = driver.dealer
    tally, best = dealer.tally, dealer.best
    return Outcome(
        name=name,
        cells=dealer.total,
        trained=driver.trained_before + tally.trained,
        reused=tally.reused,
        kept=max(0, tally.kept - driver.trained_before),
        failed=tally.failed,
        pruned=tally.pruned,
        interrupted=driver.interrupted,
        spent=driver.spent and tally.finished + tally.failed < dealer.total,
        best=None if best is None else best[0],
        best_value=None if best is None else best[1],
    )


def _report(outcome: Outcome, console: Console) -> None:
    """Two or three lines: what was done, what was found, how to go on."""
    done = outcome.trained + outcome.reused + outcome.kept
    known = f"{outcome.kept + outcome.reused} were known" if outcome.kept + outcome.reused else "none was known"
    failed = f", [yellow]{outcome.failed} failed[/]" if outcome.failed else ""
    console.print(
        f"[bold]{outcome.name}[/]: {done} cells done: {outcome.trained} trained, {known}{failed}", highlight=False
    )
    if outcome.pruned:
        console.print(
            f"  {outcome.pruned} candidates given up by the race; search.racing=none finishes them", highlight=False
        )
    if outcome.best is not None:
        console.print(f"  best candidate {outcome.best}: validation accuracy {outcome.best_value:.1f}", highlight=False)
    if outcome.interrupted:
        console.print(f"  interrupted; go on with: {_command_line()}", highlight=False, soft_wrap=True, markup=False)
    elif outcome.spent:
        line = f"  the budget of run.max_hours is spent; go on with: {_command_line()}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    elif outcome.failed:
        console.print("  the same command tries the failed cells again", highlight=False)


def _command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _print_plan(sweep: LoadedSweep, plan: SweepPlan, counts: PlanCounts, console: Console) -> None:
    from rich.table import Table

    table = Table(
        "trials", "kind", "cells", title=f"plan of {sweep.file.name}", title_justify="left", header_style="bold"
    )
    for baseline in plan.baselines:
        table.add_row(baseline.name, baseline.kind, str(len(baseline.cells)))
    if plan.candidates:
        table.add_row(f"{plan.candidates} candidates", "search", f"{plan.candidates} x {plan.candidate_cells}")
        table.add_row("the selected one", "best", str(plan.best_cells))
    console.print(table)
    time = "unknown until the first cells finish" if counts.seconds is None else readable_seconds(counts.seconds)
    racing = sweep.file.search is not None and sweep.file.search.racing != "none" and counts.missing > 0
    most = "at most " if racing else ""
    console.print(f"  {counts.cells} cells, {counts.done} finished, {most}{counts.missing} to train", highlight=False)
    console.print(f"  training time on one worker: {time}", highlight=False)
