"""Launch a sweep: plan, hold the plan against the ledger, train what is missing, say what came of it.

Resuming is launching again. Nothing is kept but the ledger and the study: finished cells are found by key, candidates
by name, and a pack that was cut off goes on from its checkpoint.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from core.cells import Cell
from core.config import Setting
from core.data.catalog import dataset_info, expand_datasets
from core.errors import UserError
from core.inputs import cell_key, data_root
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
    from sweeps.records import CellRow

COMPLETE, SOME_FAILED, INTERRUPTED = 0, 3, 130
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
    best: str | None
    """Name of the best candidate."""
    best_value: float | None
    """Its mean validation accuracy, in percent."""

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return INTERRUPTED
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
) -> Outcome:
    """Run a sweep, or what is missing of it.

    Args:
        sweep: a checked sweep file.
        console: where progress and the outcome are printed.
        progress: False prints nothing.
        bench: makes a bench, once here and once in every worker process; must be picklable.
        key: the cell key, as the bench computes it.

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
        recorded = _recorded(file.run.tracking_uri, file.name)
        finished = [row for row in recorded if row.finished]
        own = finished if _study_fits(sweep, key) else []
        if count(plan, finished, own, key, _given_up(sweep, key)).missing:
            _check_and_prepare(sweep, plan, {row.key for row in finished}, bench, key, shown)
        dealer = _open_dealer(sweep, plan, recorded, key, shown, start_points)
        interrupted = True
        try:
            interrupted = dealer.has_work() and _train(dealer, sweep, bench)
        except KeyboardInterrupt:
            pass
        finally:
            dealer.end(interrupted=interrupted)
    outcome = _outcome(file.name, dealer, interrupted)
    if progress:
        _report(outcome, console)
    return outcome


def draw_mini_datasets(sweep: LoadedSweep, *, console: Console, progress: bool = True) -> None:
    """Draw the sweep's mini datasets that are not on disk, with progress; cell keys would draw them in silence."""
    infos = [dataset_info(name) for name in expand_datasets(sweep.file.grid.datasets)]
    if mini := [info for info in infos if info.kind == "mini"]:
        with SweepProgress(console, enabled=progress) as shown:
            names = [info.name for info in mini]
            ensure_mini_grid(data_root(sweep.reference, mini[0]), names, shown.preparing)


def dry_run(
    sweep: LoadedSweep, *, console: Console, as_json: bool = False, key: Callable[[Cell], str] = cell_key
) -> None:
    """Show what a launch would do: cells, those already finished, estimated time. Writes nothing.

    Raises:
        UserError: an unknown dataset, missing data, or a store that cannot be read.
    """
    plan = plan_sweep(sweep)
    uri = sweep.file.run.tracking_uri
    own = [row for row in _recorded(uri, sweep.file.name) if row.finished] if _study_fits(sweep, key) else []
    counts = count(plan, _finished_anywhere(uri), own, key, _given_up(sweep, key))
    if as_json:
        print(json.dumps({"name": sweep.file.name, **asdict(counts), "missing": counts.missing}))
        return
    _print_plan(sweep, plan, counts, console)


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
    finished: set[str],
    make_bench: "Callable[[], Bench]",
    key: Callable[[Cell], str],
    shown: SweepProgress,
) -> None:
    """Find every fault of the inputs before anything is written, then compute features while one process runs.

    On a cluster, features are left to the workers: they have the accelerators, and disks of their own.
    """
    cells = [cell for baseline in plan.baselines for cell in baseline.cells]
    if sweep.file.search is not None:
        cells += [*judged_cells(sweep, sweep.reference), *grid_cells(sweep, sweep.reference)]
    bench = make_bench()
    bench.check([*cells, *_corner_cells(sweep)])
    if not os.environ.get("RAY_ADDRESS"):
        bench.prepare([cell for cell in cells if key(cell) not in finished], shown.preparing)


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
    start_points: Sequence[StartPoint] = (),
) -> "Dealer":
    """Open the study and the ledger; both are created here, before any worker can look."""
    from sweeps.dealer import Dealer
    from sweeps.racing import race_of
    from sweeps.search import Candidates
    from sweeps.tracking import Ledger

    candidates = race = None
    if (search := sweep.file.search) is not None:
        judged = judged_cells(sweep, sweep.reference)
        # By key: when images, descriptions or numerics change, candidates are judged again.
        candidates = Candidates(sweep, search, [key(cell) for cell in judged], start_points)
        race = race_of(search, len({cell.dataset for cell in judged}))
    return Dealer(sweep, plan, candidates, Ledger(sweep.file.run.tracking_uri), recorded, key, shown, race)


def _train(dealer: "Dealer", sweep: LoadedSweep, make_bench: "Callable[[], Bench]") -> bool:
    """Start Ray and train all that is missing; returns whether it was interrupted."""
    from sweeps.pool import train_all
    from sweeps.ray_session import ray_session
    from sweeps.trial import Workplace

    run = sweep.file.run
    uri = absolute_uri(run.tracking_uri)
    with ray_session(uri):
        return train_all(dealer, Workplace(make_bench, uri, threads=max(1, int(run.cpus_per_trial))), run)


def _outcome(name: str, dealer: "Dealer", interrupted: bool) -> Outcome:
    tally, best = dealer.tally, dealer.best
    return Outcome(
        name=name,
        cells=dealer.total,
        trained=tally.trained,
        reused=tally.reused,
        kept=tally.kept,
        failed=tally.failed,
        pruned=tally.pruned,
        interrupted=interrupted,
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
