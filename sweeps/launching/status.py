"""`dualpt status`: how far sweeps are, from the ledger, while they run or afterwards."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.searched.candidate_ranks import Candidate, read_candidates
from dualpt.sweeps.comparison.searched.candidate_table import (
    ACCURACY_NOTE,
    candidate_grid,
    more_text,
    record,
    winner_lines,
)
from dualpt.sweeps.comparison.selection_basis import SelectionBasis, accuracy_text, selection_basis
from dualpt.sweeps.console import counted, indented, readable_seconds
from dualpt.sweeps.dispatch.worker_reports import WorkerReport, reports_in
from dualpt.sweeps.launching.status_workers import workers_table
from dualpt.sweeps.ledger.notes import notes_on
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.ledger.reading import SweepReader
from dualpt.sweeps.planning.data_notes import read_data_notes
from dualpt.sweeps.planning.declared import missing_cells
from dualpt.sweeps.records import SELECTION
from dualpt.sweeps.word_table import WordTable

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.heartbeat import Launch
    from dualpt.sweeps.records import CellRow, SweepRow

LOOK_SECONDS = 2.0
"""Between two looks of `--watch`."""
SHOWN_REASONS = 5


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is; counts are cells."""

    name: str
    launch: str
    """RUNNING while a launch is alive; otherwise how the last one ended, or KILLED where it left no word."""
    finished: int
    failed: int
    killed: int
    missing: int = 0
    """Of the last launch, without a result: cut off or never begun, candidates' included. Sweeps of earlier versions
    know those of whole-grid trials that never began."""
    cells: int | None = None
    """Of the whole sweep, as the launch that runs it counts them, or last ran it; None where that is unknown."""
    trained: int = 0
    """By the launch that runs."""
    seconds_left: float | None = None
    """By the pace of the launch that runs; None where it is unknown."""
    running: list[str] = field(default_factory=list)
    """Trials in training."""
    workers: list[WorkerReport] = field(default_factory=list)
    """What the first few workers of the launch that runs last reported."""
    validation: dict[str, float] = field(default_factory=dict)
    """Trial -> mean validation accuracy of its finished cells, in percent; without trials that have none."""
    driver: str | None = None
    """Process and machine that run it, and when they last gave a sign of life."""
    trials: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """Trial -> dataset -> cells by status."""
    pruned: list[str] = field(default_factory=list)
    """Trials that the race has given up."""
    stopped: list[str] = field(default_factory=list)
    """Trials that users have stopped."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What users have noted (`dualpt.sweeps.ledger.notes`)."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why cells failed, and how many."""
    best: str | None = None
    """Name of the best candidate, so far where a launch runs."""
    best_value: float | None = None
    """Its mean validation accuracy, in percent."""
    best_basis: SelectionBasis | None = None
    """What that is the mean and the highest of."""
    candidates: tuple[Candidate, ...] = ()
    """All that the search has tried, the best first."""
    set_aside: int = 0
    """Candidates of searches over another space, whose names others may have."""

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "candidates": list(map(record, self.candidates))}


def show_status(console: Console, name: str | None, *, store: str, as_json: bool, watch: bool = False) -> None:
    """Print how far sweeps are; of a named one, its trials and datasets, what failed and why, and the time left.

    Args:
        watch: refresh a named sweep every two seconds until no launch runs it.

    Raises:
        UserError: the store does not exist, or holds no such sweep.
    """
    if watch and (name is None or as_json):
        raise UserError("--watch: name one sweep, without --json (`dualpt status NAME --watch`)")
    reader = open_reader(store)
    if watch and name is not None:
        _watch(console, reader, name)
        return
    found = [status_of(reader, sweep) for sweep in ([name] if name is not None else reader.sweeps())]
    if as_json:
        print(json.dumps({status.name: status.document() for status in found}))
    else:
        console.print(detailed(found[0], console) if name is not None else _listed(found), crop=False)


def status_of(reader: SweepReader, name: str) -> SweepStatus:
    """How far a sweep is.

    Raises:
        UserError: there is no such sweep.
    """
    experiment = reader.named_experiment(name)
    rows, sweep = reader.shown_cells(experiment, ()), reader.sweep_row(experiment)
    status = status_from(name, rows, sweep, reader.pruned_trials(experiment))
    candidates = read_candidates(reader, experiment, rows, sweep, status.running)
    aside = sum(trial.superseded and trial.ref.kind == "search" for trial in reader.trials(experiment))
    stopped = [ref.name for ref in reader.stopped_trials(experiment)]
    notes = notes_on(reader, experiment, sweep, rows)
    return replace(status, candidates=tuple(candidates), set_aside=aside, stopped=stopped, notes=notes)


def status_from(
    name: str, rows: "Sequence[CellRow]", sweep: "SweepRow | None", pruned: Sequence[str] = ()
) -> SweepStatus:
    """How far a sweep is whose cells have been read.

    Args:
        pruned: names of the candidates that its race has given up.
    """
    from dualpt.sweeps.ledger.heartbeat import launch_from

    last = None if sweep is None else launch_from(sweep.launch)
    ended = "NONE" if sweep is None else sweep.status
    alive = last if last is not None and last.alive and ended == "RUNNING" else None
    counts = Counter(row.status for row in rows)
    cells, missing = _left_behind(last, ended, sweep.declared if sweep is not None else "", rows)
    status = SweepStatus(
        name=name,
        launch="KILLED" if ended == "RUNNING" and alive is None else ended,
        finished=counts["FINISHED"],
        failed=counts["FAILED"],
        killed=counts["KILLED"] + counts["RUNNING"],
        trials=_by_trial(rows),
        validation=_validation(rows),
        missing=missing,
        cells=cells,
        pruned=list(pruned),
        reasons=dict(Counter(row.failure or "unknown" for row in rows if row.status == "FAILED").most_common()),
        **_best(sweep, rows),
    )
    return status if alive is None else _with_launch(status, alive)


def _left_behind(last: "Launch | None", ended: str, declared: str, rows: "Sequence[CellRow]") -> tuple[int | None, int]:
    """Cells of the last launch, where that is known, and how many of them have no result.

    What a launch declares are trials over the whole grid. How many cells its candidates have, which a race may give up,
    only its own count says: the last word of one that was closed, the last beat of one that was killed, to which cells
    recorded since are added.
    """
    state = {} if last is None else last.state
    if last is None or "cells" not in state or not (last.over or ended in ("KILLED", "RUNNING")):
        return None, len(missing_cells(declared, rows))
    since = sum(row.status in ("FINISHED", "FAILED") and row.recorded_ms > 1000 * last.beat for row in rows)
    return state["cells"], max(0, state["cells"] - state.get("finished", 0) - state.get("failed", 0) - since)


def _best(sweep: "SweepRow | None", rows: "Sequence[CellRow]") -> dict[str, Any]:
    """The fields of the best candidate."""
    if sweep is None or sweep.best is None or sweep.best_accuracy is None:
        return {}
    basis = selection_basis(rows, sweep.best, read_data_notes(sweep.data_notes).judged)
    return {"best": sweep.best, "best_value": sweep.best_accuracy, "best_basis": basis}


def _with_launch(status: SweepStatus, launch: "Launch") -> SweepStatus:
    """With what the driver says of itself."""
    state = launch.state
    own: dict[str, Any] = {
        "cells": state.get("cells"),
        "trained": state.get("trained", 0),
        "seconds_left": state.get("seconds_left"),
        "running": state.get("running", []),
        "workers": reports_in(state.get("workers")),
        "driver": f"process {launch.process} on {launch.host}, last heard of {launch.age:.0f} s ago",
    }
    if isinstance(best := state.get("best"), list):
        own |= {"best": best[0], "best_value": best[1], "best_basis": None}
    return replace(status, **own)


def _validation(rows: "Sequence[CellRow]") -> dict[str, float]:
    """Mean validation accuracy of each trial's finished cells; never a test accuracy, which is for finished tables."""
    by_trial: dict[str, list[float]] = {}
    for row in rows:
        if row.finished and (value := row.metrics.get(SELECTION)) is not None:
            by_trial.setdefault(row.trial, []).append(value)
    return {trial: statistics.fmean(values) for trial, values in by_trial.items()}


def _by_trial(rows: "Sequence[CellRow]") -> dict[str, dict[str, dict[str, int]]]:
    trials: dict[str, dict[str, dict[str, int]]] = {}
    for row in sorted(rows, key=lambda row: row.trial):
        cells = trials.setdefault(row.trial, {}).setdefault(row.dataset, {})
        cells[row.status] = cells.get(row.status, 0) + 1
    return trials


def _watch(console: Console, reader: SweepReader, name: str) -> None:
    status = status_of(reader, name)
    with Live(detailed(status, console), console=console, auto_refresh=False, transient=False) as live:
        while status.launch == "RUNNING":
            time.sleep(LOOK_SECONDS)
            status = status_of(reader, name)
            live.update(detailed(status, console), refresh=True)


def _listed(found: Sequence[SweepStatus]) -> WordTable:
    table = WordTable("sweep", "finished", "failed", "killed", "given up", "launch", "left")
    for status in found:
        counts = (str(status.finished), str(status.failed), str(status.killed), str(len(status.pruned)))
        table.add_row(escape(status.name), *counts, status.launch.lower(), _left(status))
    return table


def detailed(status: SweepStatus, console: Console) -> Group:
    """Trials by datasets, which are numbered, without accuracies, where their names do not fit the terminal."""
    datasets = list(dict.fromkeys(dataset for cells in status.trials.values() for dataset in cells))
    accuracies = status.validation
    table = _by_dataset(status, datasets, datasets, accuracies, box.HEAVY_HEAD)
    fits = table.fits(console)
    if not fits:
        table = _by_dataset(status, datasets, [str(n) for n in range(1, len(datasets) + 1)], {}, box.SIMPLE_HEAD)
    whole = "" if status.cells is None or status.driver is None else f" of {status.cells}"
    done = f"{status.finished}{whole} cells finished, {status.failed} failed{_missing(status)}"
    lines = [f"{done}; launch {status.launch.lower()}"]
    if status.driver is not None:
        training = f"in training: {', '.join(status.running) or 'nothing'}"
        lines.append("; ".join(filter(None, (f"run by {status.driver}", training, _left(status)))))
    if not fits:
        lines.insert(0, ", ".join(f"{number} {dataset}" for number, dataset in enumerate(datasets, start=1)))
    if status.best is not None and status.best_value is not None:
        lines.append(f"best candidate {status.best}: {accuracy_text(status.best_value, status.best_basis)}")
    if status.set_aside:
        listed = f"`dualpt compare {status.name} --candidates` lists all"
        aside = counted(status.set_aside, "candidate")
        lines.insert(0, f"{aside} of another search space set aside; {listed}")
    if status.stopped:
        lines.append(f"stopped by users: {', '.join(status.stopped)}; --restart-stopped goes on with them")
    lines += [f"note on {place}: {noted}" for place, noted in status.notes.items()]
    lines += winner_lines(status.candidates)
    failed = [f"{count} failed: {reason}" for reason, count in list(status.reasons.items())[:SHOWN_REASONS]]
    sentences = map(indented, [*failed, *lines])
    legend = indented(_legend(bool(accuracies) and fits), "dim")
    trials = (table, legend) if datasets else (f"{escape(status.name)}: no cell has finished yet",)
    return Group(*trials, *_candidates(status, console), *workers_table(status.workers), *sentences)


def _legend(with_accuracy: bool) -> str:
    """What the numbers of the first table are."""
    return "finished cells of each dataset" + (
        "; val: their mean validation accuracy in percent" if with_accuracy else ""
    )


def _missing(status: SweepStatus) -> str:
    """What an ended launch has left undone."""
    if not status.missing or status.driver is not None:
        return ""
    if status.cells is None:
        return f", {status.missing} never begun"
    return f", {status.missing} missing of the last launch's {status.cells}"


def _candidates(status: SweepStatus, console: Console) -> list[RenderableType]:
    """Nothing where nothing is searched."""
    if not status.candidates:
        return []
    shown: list[RenderableType] = [candidate_grid(status.candidates, console)]
    if more := more_text(status.name, status.candidates):
        shown.append(indented(more))
    return [*shown, indented(ACCURACY_NOTE, "dim")]


def _by_dataset(
    status: SweepStatus, datasets: Sequence[str], heads: Sequence[str], accuracies: Mapping[str, float], look: box.Box
) -> WordTable:
    """One row per trial: the finished cells of each dataset and, in red, the failed ones; the mean accuracy, if any."""
    heads = [*heads, *(["val"] if accuracies else [])]
    table = WordTable("trial", *heads, title=escape(status.name), look=look)
    for trial, cells in status.trials.items():
        mark = "[green]▸[/] " if trial in status.running else ""
        word = "stopped" if trial in status.stopped else "given up" if trial in status.pruned else ""
        accuracy = [f"{accuracies[trial]:.1f}"] if trial in accuracies else []
        entries = [_entry(cells.get(dataset, {})) for dataset in datasets]
        table.add_row(f"{mark}{escape(trial)}{f' [dim]{word}[/]' if word else ''}", *entries, *accuracy)
    return table


def _entry(cells: dict[str, int]) -> str:
    failed = cells.get("FAILED", 0)
    return f"{cells.get('FINISHED', 0)}" + (f" [red]{failed} failed[/]" if failed else "")


def _left(status: SweepStatus) -> str:
    return "" if status.seconds_left is None else f"about {readable_seconds(status.seconds_left)} left"
