"""Thousands of cells on frozen features as a sweep, in packs against one at a time: from the start to the table.

    python -m benchmarks.many_cells                   1,500 cells both ways, of three datasets
    python -m benchmarks.many_cells --datasets 11     5,500

Each way is a launch of its own in a process of its own, with Ray, two workers and MLflow on SQLite; features are stored
before. Beside them, some of the cells as scripts run them: a process each, which records nothing. On a machine that
others use too, CPU seconds say more than wall time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.machinery import REPOSITORY
from benchmarks.processes import arguments_of, cpu_of_descendants, peak_mib
from benchmarks.ratios.packs import DRAWS, METHODS, SHOTS
from dualpt.core.cell import Cell
from dualpt.core.data.catalog import MINI_GRID
from dualpt.core.running.cell_runner import CellResult, CellRunner
from dualpt.core.training.progress import Report
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.comparison.frames import read_frame
from dualpt.sweeps.launching.before_training import draw_mini_datasets
from dualpt.sweeps.launching.launch import default_runner, launch
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.planning.plan import plan_sweep

LOOK_SECONDS = 0.5
SCRIPTED = 50
"""Cells that get a process each: as many of every method."""
WORKER = "ray::"
"""How the command line of a Ray worker begins once it works."""


class OneByOne(CellRunner):
    """Fits the cells of a pack one after another."""

    def run(
        self,
        cells: Sequence[Cell],
        report: Report | None = None,
        checkpoint: Path | None = None,
    ) -> list[CellResult]:
        return [result for cell in cells for result in super(OneByOne, self).run([cell])]


WAYS: dict[str, Callable[[], CellRunner]] = {"in packs": default_runner, "one at a time": OneByOne}


@dataclass
class ProcessTree:
    """The most memory that each process below this one has held, and the CPU time it has taken; looked at in turns."""

    peak_mib: dict[int, float] = field(default_factory=dict)
    """Of workers, by process."""
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    """Of every process below this one: workers, and what Ray runs beside them."""

    def watch(self, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Note what the processes hold and have taken now."""
        for process, seconds in cpu_of_descendants().items():
            self.cpu_seconds[process] = seconds
            is_worker = any(word.startswith(WORKER) for word in arguments_of(process)[:1])
            if is_worker and (peak := peak_mib(process)) is not None:
                self.peak_mib[process] = peak


def declared(folder: Path, n_datasets: int) -> LoadedSweep:
    """500 cells of each dataset."""
    grid = {
        "datasets": list(MINI_GRID[:n_datasets]),
        "shots": list(SHOTS),
        "seeds": list(range(1, DRAWS + 1)),
    }
    run = {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "study_storage": f"sqlite:///{folder}/study.db"}
    document = {"name": "many", "grid": grid, "baselines": list(METHODS), "run": run}
    return check_sweep(document, source="benchmarks")


def measure(way: str, n_datasets: int) -> dict[str, float]:
    """Launch the sweep in this process, and read its table."""
    with TemporaryDirectory(prefix="dualpt-many-") as name:
        sweep = declared(Path(name), n_datasets)
        tree, over = ProcessTree(), threading.Event()
        watching = threading.Thread(target=tree.watch, args=(over,), daemon=True)
        watching.start()
        begun, begun_cpu = time.perf_counter(), time.process_time()
        outcome = launch(sweep, console=Console(quiet=True), progress=False, runner=WAYS[way])
        uri = sweep.file.run.tracking_uri
        rows = read_frame("many", uri)
        seconds = time.perf_counter() - begun
        over.set()
        watching.join()
        reader = open_reader(uri)
        ends = sorted(cell.recorded_ms for cell in reader.read_cells("many", ()))
        steady = 1000 * (len(ends) - 1) / (ends[-1] - ends[0])
        cpu = sum(tree.cpu_seconds.values()) + time.process_time() - begun_cpu
        return {
            "cells": outcome.trained,
            "rows of the table": len(rows),
            "seconds": seconds,
            "cells a second, first to last": steady,
            "CPU seconds": cpu,
            "CPU ms a cell": 1000 * cpu / outcome.trained,
            "driver MiB": peak_mib(os.getpid()) or 0.0,
            "largest worker MiB": max(tree.peak_mib.values()),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_cells", description=__doc__)
    parser.add_argument("--datasets", type=int, default=3, help="of the mini grid's eleven, 500 cells each")
    parser.add_argument("--way", choices=WAYS, help="one launch in this process, as JSON")
    words = parser.parse_args()
    if words.way is not None:
        print(json.dumps(measure(words.way, words.datasets)))
        return
    with TemporaryDirectory(prefix="dualpt-many-") as name:
        sweep = declared(Path(name), words.datasets)
        draw_mini_datasets(sweep, console=Console(quiet=True), progress=False)
        cells = [cell for trial in plan_sweep(sweep).baselines for cell in trial.cells]
        CellRunner().prepare(cells)
    measured = {way: _launched(way, words.datasets) for way in WAYS}
    print(f"| | {' | '.join(measured)} |\n|---|{'---|' * len(measured)}")
    for figure in measured["in packs"]:
        print(f"| {figure} | {' | '.join(f'{figures[figure]:,.4g}' for figures in measured.values())} |")
    print(f"\nA process per cell, {SCRIPTED} cells: {_scripted(cells):,.4g} CPU ms a cell.")


def _scripted(cells: Sequence[Cell]) -> float:
    """CPU milliseconds of `dualpt train` for one cell: the mean over cells that are spread evenly over all."""
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    for cell in cells[:: len(cells) // SCRIPTED][:SCRIPTED]:
        words = ["--dataset", cell.dataset, "--shots", str(cell.shots), "--seeds", str(cell.seed)]
        command = [sys.executable, "-m", "dualpt", "train", *words, "--method", cell.setting.method]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime
    return 1000 * spent / SCRIPTED


def _launched(way: str, n_datasets: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.many_cells", "--way", way, "--datasets", str(n_datasets)]
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}, text=True
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
