"""A launch that trains nothing: what it would do, and how long that would take."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from dualpt.core.cell import Cell
from dualpt.core.files.locations import leaving_no_trace
from dualpt.core.inputs.drawn_images import check_drawn_images
from dualpt.core.inputs.key import cell_key
from dualpt.core.inputs.reading import CellInputs
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.console import counted, readable_seconds
from dualpt.sweeps.launching.before_training import draw_mini_datasets, examine_stores, planned_cells
from dualpt.sweeps.launching.earlier_launches import (
    cells_on_record,
    finished_anywhere,
    left_as_they_are,
    queued_candidates,
    refuse_another_file,
    selected_before,
    set_aside,
    stopped_trials,
    study_fits,
)
from dualpt.sweeps.planning.data_notes import DataNotes, ReadNotes, data_notes
from dualpt.sweeps.planning.durations import RecordedSeconds, TimeEstimate, cost_params, left_to_train, settings_of
from dualpt.sweeps.planning.plan import PlanCounts, SweepPlan, count, plan_sweep
from dualpt.sweeps.word_table import WordTable

UNMEASURED = "no finished cell in the store has their method, backbone, prompts, epochs, batch, classes and shots"

if TYPE_CHECKING:
    from dualpt.sweeps.tools.features import FeatureCosts


def dry_run(
    sweep: LoadedSweep,
    *,
    console: Console,
    progress: bool = False,
    as_json: bool = False,
    key: Callable[[Cell], str] = cell_key,
    notes: ReadNotes = data_notes,
    features: "Callable[[LoadedSweep], FeatureCosts] | None" = None,
) -> None:
    """Show what a launch would do: cells, those already finished, estimated time.

    Writes nothing: mini datasets that keys need are drawn into a temporary folder, image digests stay in memory.

    Args:
        progress: whether drawing them shows progress.
        notes: reads the remarks on the sweep's datasets.
        features: what its missing features cost, to be shown too.

    Raises:
        UserError: an unknown dataset, missing data, nothing to select by, no such sweep to start from, or a store that
            cannot be read.
    """
    examine_stores(sweep)
    with leaving_no_trace():
        draw_mini_datasets(sweep, console=console, progress=progress)
        _show_plan(sweep, console, as_json, key, notes, features)


def _show_plan(
    sweep: LoadedSweep,
    console: Console,
    as_json: bool,
    key: Callable[[Cell], str],
    notes: ReadNotes,
    features: "Callable[[LoadedSweep], FeatureCosts] | None",
) -> None:
    plan = plan_sweep(sweep)
    refuse_another_file(sweep)
    selected_before(sweep, only_looking=True)
    uri = sweep.file.run.tracking_uri
    own = [row for row in cells_on_record(uri, sweep.file.name) if row.finished] if study_fits(sweep, key) else []
    stopped = stopped_trials(uri, sweep.file.name)
    plan = plan.without({ref.identity for ref in stopped})
    everywhere = finished_anywhere(uri, cost_params(settings_of(sweep, plan)))
    counts = count(plan, everywhere, own, key, left_as_they_are(sweep, key, stopped))
    time = RecordedSeconds(everywhere, sweep.reference.data.folder).estimate(left_to_train(sweep, counts.left))
    noted = notes(sweep, plan)
    for cell in planned_cells(sweep, plan):
        if cell.setting.fits_features:
            check_drawn_images(CellInputs(cell))
    said = [*sweep.remarks, *set_aside(sweep, key), *queued_candidates(uri, sweep.file.name)]
    if as_json:
        extra: dict[str, Any] = {"notes": [*said, *noted.lines()]}
        if features is not None:
            extra["features"] = asdict(features(sweep))
        print(json.dumps({"name": sweep.file.name, **counts.numbers(), **_numbers_of(time), **extra}))
        return
    _print_plan(sweep, plan, counts, console)
    console.print(f"  training time on one worker: {_in_words(time)}", highlight=False, soft_wrap=True, markup=False)
    _print_notes(said, noted, console)
    if features is not None:
        from dualpt.sweeps.tools.features import describe

        console.print(f"  features: {describe(features(sweep))}", highlight=False, markup=False)


def simulate(
    sweep: LoadedSweep, *, gpus: Sequence[int], trials: Sequence[int], console: Console, as_json: bool = False
) -> None:
    """Show how long a launch would take, by a simulation with recorded or assumed seconds. Trains and writes nothing.

    Raises:
        UserError: an unknown dataset, a store that cannot be read, or a search that cannot be simulated.
    """
    from dualpt.sweeps.simulation.prediction import simulate_sweep

    examine_stores(sweep)
    uri = sweep.file.run.tracking_uri
    with leaving_no_trace():
        recorded = cells_on_record(uri, sweep.file.name)
        everywhere = finished_anywhere(uri, cost_params(settings_of(sweep, plan_sweep(sweep))))
        simulate_sweep(sweep, recorded, everywhere, gpus=gpus, trials=trials, console=console, as_json=as_json)


def _print_plan(sweep: LoadedSweep, plan: SweepPlan, counts: PlanCounts, console: Console) -> None:
    table = WordTable("trials", "kind", "cells", title=f"plan of {sweep.file.name}")
    for baseline in plan.baselines:
        table.add_row(baseline.name, baseline.kind, str(len(baseline.cells)))
    if plan.candidates:
        table.add_row(counted(plan.candidates, "candidate"), "search", f"{plan.candidates} × {plan.candidate_cells}")
        table.add_row("the selected one", "best", str(plan.best_cells))
    table.show(console, markup=False)
    racing = sweep.file.search is not None and sweep.file.search.racing != "none" and counts.missing > 0
    most = "at most " if racing else ""
    console.print(
        f"  {counted(counts.cells, 'cell')}, {counts.done} finished, {most}{counts.missing} to train",
        highlight=False,
        markup=False,
    )


def _numbers_of(time: TimeEstimate) -> dict[str, Any]:
    """`seconds` is null where cells of some shape are unknown; `time` says what is known."""
    return {"seconds": time.complete, "time": asdict(time)}


def _in_words(time: TimeEstimate) -> str:
    """The estimate with its spread, what it rests on, and what it leaves out."""
    if time.unknown and not time.measured:
        return "unknown until the first cells finish" if not time.device else f"unknown; {UNMEASURED}"
    words = readable_seconds(time.seconds)
    if time.measured:
        spread = f"{readable_seconds(time.low)} to {readable_seconds(time.high)}"
        words += f" ({spread}), from {counted(time.measured, 'finished cell')} of the same shapes"
        words += f" on {time.device}" if time.device else ""
    if time.unknown:
        words = f"at least {words}; unknown for {counted(round(time.unknown), 'cell')}, since {UNMEASURED}"
    return words


def _print_notes(said: Sequence[str], noted: DataNotes, console: Console) -> None:
    if noted.judged is not None:
        fewest, most = noted.judged
        images = str(fewest) if fewest == most else f"{fewest} to {most}"
        console.print(
            f"  candidates are judged on {images} validation images in each cell", highlight=False, markup=False
        )
    for line in (*said, *noted.lines()):
        console.print(f"  [yellow]note[/] {escape(line)}", highlight=False, soft_wrap=True)
