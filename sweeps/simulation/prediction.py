"""`dualpt sweep --simulate`: how long a sweep would take on how many workers, and how long they would idle."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from random import Random

from rich.console import Console
from rich.progress import Progress, TaskID

from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.search_spaces.points import draw, resolve
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.console import progress_bar, readable_seconds
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.planning.durations import RecordedSeconds
from dualpt.sweeps.planning.plan import SweepPlan, grid_cells, judged_cells, plan_sweep
from dualpt.sweeps.racing import race_of, recorded_scores
from dualpt.sweeps.records import CellRow
from dualpt.sweeps.simulation.estimates import CellSeconds, EstimatedWorld, assumed_seconds, estimated_scores
from dualpt.sweeps.simulation.memory import ListedCandidates
from dualpt.sweeps.simulation.replay import Timeline, replay, simulated_dispatcher
from dualpt.sweeps.word_table import WordTable

MOST_TRIALS = 100_000
MOST_DRAWS = 200
"""Points drawn for a candidate, on average, before the constraints count as too tight to simulate."""


@dataclass(frozen=True)
class Prediction:
    """One simulated sweep."""

    trials: int
    gpus: int
    workers: int
    makespan_seconds: float
    idle_share: float
    cells_trained: int
    candidates_pruned: int
    share_of_full: float
    """Training seconds, as a share of what judging every candidate on everything would take."""


def simulate_sweep(
    sweep: LoadedSweep,
    recorded: Sequence[CellRow],
    everywhere: Sequence[CellRow],
    *,
    gpus: Sequence[int],
    trials: Sequence[int],
    console: Console,
    as_json: bool,
) -> None:
    """Simulate the sweep from its start, as if nothing of it were finished, and print one line per size.

    Args:
        recorded: the sweep's own cells: scores of its candidates are drawn from theirs.
        everywhere: finished cells of the store: what cells take.
        gpus: numbers of devices; each is one worker, or as many as its share in `run.gpus_per_trial` allows.
        trials: numbers of candidates; empty takes the file's.

    Raises:
        UserError: a search that cannot be simulated.
    """
    if sweep.file.searches_shots:
        raise UserError("--simulate: a search over data.shots cannot be simulated; fix the shots")
    plan = plan_sweep(sweep)
    sizes = _sizes(sweep, trials)
    cells = judged_cells(sweep, sweep.reference) or tuple(c for b in plan.baselines for c in b.cells)
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    seconds, share = _cell_seconds(sweep, plan, everywhere)
    scores = estimated_scores(
        datasets, recorded_scores(cells, [row for row in recorded if row.kind == "search"]).values()
    )
    world_random = Random(0)
    settings = _settings(sweep, max(sizes))
    drawn = {name: scores.draw(world_random) for name, _ in settings}
    world = EstimatedWorld(seconds, drawn)
    rows = []
    with progress_bar(console, quiet=as_json) as bar:
        for size in sizes:
            for devices in gpus:
                task = bar.add_task(f"{size} candidates on {devices} GPUs")
                rows.append(_predict(sweep, plan, settings[:size], world, devices, partial(_show, bar, task)))
                bar.remove_task(task)
    if as_json:
        found = {"measured": share == 1, "measured_share": share, "rows": [asdict(row) for row in rows]}
        print(json.dumps({"name": sweep.file.name, **found}))
        return
    _print(sweep, rows, console, measured=share, scored=bool(scores.effects))


def _cell_seconds(sweep: LoadedSweep, plan: SweepPlan, everywhere: Sequence[CellRow]) -> tuple[CellSeconds, float]:
    """What cells of the sweep take, and the share of its cells that this was measured for."""
    cells = [cell for baseline in plan.baselines for cell in baseline.cells if cell.shots]
    cells += grid_cells(sweep, sweep.reference) if sweep.file.search is not None else ()
    recorded = RecordedSeconds(everywhere, sweep.reference.data.folder)
    seconds = CellSeconds(recorded, assumed_seconds(cells), frozenset(parameter.key for parameter in sweep.space))
    return seconds, sum(bool(seconds.measured(cell)) for cell in cells) / max(1, len(cells))


def _sizes(sweep: LoadedSweep, trials: Sequence[int]) -> list[int]:
    if sweep.file.search is None:
        if trials:
            raise UserError("--trials: this sweep has no search; leave it out")
        return [0]
    sizes = list(trials) or [sweep.file.search.trials]
    if max(sizes) > MOST_TRIALS:
        raise UserError(f"--trials: at most {MOST_TRIALS}, found {max(sizes)}")
    return sizes


def _settings(sweep: LoadedSweep, count: int) -> list[tuple[str, Setting]]:
    """Random candidates under their names; a sampler's would not cost more or less."""
    base, random = sweep.base(), Random(0)
    settings: list[tuple[str, Setting]] = []
    for _ in range(count * MOST_DRAWS):
        if len(settings) == count:
            break
        point = draw(sweep.space, base, random)
        if sweep.violated({**base, **point}) is None:
            settings.append((f"trial-{len(settings) + 1:03d}", resolve(point, sweep.reference)[0]))
    if len(settings) < count:
        raise UserError("--simulate: too few random points satisfy search.constraints")
    return settings


def _show(bar: Progress, task: TaskID, _: float, dispatcher: Dispatcher) -> None:
    bar.update(task, completed=dispatcher.counts.finished, total=dispatcher.total)


def _predict(
    sweep: LoadedSweep,
    plan: SweepPlan,
    settings: Sequence[tuple[str, Setting]],
    world: EstimatedWorld,
    devices: int,
    on_pack: Callable[[float, Dispatcher], None],
) -> Prediction:
    search = sweep.file.search
    judged = judged_cells(sweep, sweep.reference)
    if search is None:
        dispatcher = simulated_dispatcher(sweep, plan)
    else:
        race = race_of(search, len({cell.dataset for cell in judged}))
        sized = replace(plan, candidates=len(settings))
        dispatcher = simulated_dispatcher(sweep, sized, ListedCandidates(settings), race)
    dispatcher.settings_per_pack = dispatcher.wanted_per_pack(sweep.file.run.gpus_per_trial != 0)
    share = sweep.file.run.gpus_per_trial
    workers = devices if share == "auto" or share >= 1 or share <= 0 else devices * int(1 / share + 1e-9)
    timeline: Timeline = replay(dispatcher, world, workers, on_pack)
    candidate = sum(map(world.taken.of, judged))
    fixed = sum(world.taken.of(cell) for b in plan.baselines for cell in b.cells if cell.shots)
    best = sum(map(world.taken.of, grid_cells(sweep, sweep.reference))) - candidate if settings else 0.0
    return Prediction(
        trials=len(settings),
        gpus=devices,
        workers=workers,
        makespan_seconds=timeline.makespan,
        idle_share=timeline.idle_share,
        cells_trained=timeline.cells,
        candidates_pruned=timeline.pruned,
        share_of_full=timeline.busy / (fixed + best + candidate * len(settings)),
    )


def _print(sweep: LoadedSweep, rows: Sequence[Prediction], console: Console, *, measured: float, scored: bool) -> None:
    heads = ("trials", "GPUs", "workers", "makespan", "idle", "cells", "pruned", "compute")
    table = WordTable(*heads, title=f"simulation of {sweep.file.name}")
    for row in rows:
        table.add_row(
            str(row.trials),
            str(row.gpus),
            str(row.workers),
            readable_seconds(row.makespan_seconds),
            f"{100 * row.idle_share:.1f} %",
            str(row.cells_trained),
            str(row.candidates_pruned),
            f"{100 * row.share_of_full:.0f} %",
        )
    table.show(console, markup=False)
    assumed = "60 s per cell assumed, in proportion to classes x shots"
    none = f"none recorded here of these shapes; {assumed}"
    part = f"as recorded for {100 * measured:.0f} % of the cells; for the others {assumed}"
    seconds = "as recorded" if measured == 1 else part if measured else none
    console.print(f"  seconds of cells: {seconds}", highlight=False, markup=False)
    if sweep.file.search is not None and sweep.file.search.racing != "none":
        origin = "drawn from this sweep's recorded candidates" if scored else "assumed, as the mini grid's differ"
        console.print(f"  scores of candidates: {origin}", highlight=False, markup=False)
    console.print("  cells: trained; compute: of judging every candidate whole", highlight=False)
    console.print("  training alone: starting Ray and preparing features are not in it", highlight=False)
