"""What a sweep takes besides training: start-up, workers, dispatch, the ledger, and finding finished cells.

python -m benchmarks.machinery FOLDER      launches the finished sweep in FOLDER, as the benchmark does in a process
                                           of its own
"""

import os
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.instant_runner import InstantRunner, instant_key, instant_result
from benchmarks.measuring import Row, Run, counted, duration
from dualpt.core.inputs.key import cell_key
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.before_training import draw_mini_datasets
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.ledger.contents import cell_params, cell_tags
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.plan import TrialPlan, plan_sweep
from dualpt.sweeps.records import KeyedCell, TrialRef

TRIAL_SECONDS, TRIALS = 60, 200
"""The trials whose overhead is extrapolated from fixed costs."""
SHOTS = (1, 2, 4, 8, 16)
REPOSITORY = Path(__file__).resolve().parents[1]


def declared(folder: Path, *, seeds: int, shots: Sequence[int] = SHOTS) -> LoadedSweep:
    """Two baselines over the mini grid: 22 cells per seed and number of shots."""
    grid = {"datasets": ["mini"], "shots": list(shots), "seeds": list(range(1, seeds + 1))}
    run = {"tracking_uri": f"sqlite:///{folder / 'mlflow.db'}", "study_storage": f"sqlite:///{folder / 'study.db'}"}
    return check_sweep({"name": "bench", "grid": grid, "baselines": ["coop", "plot"], "run": run}, source="benchmarks")


def help_time(run: Run) -> list[Row]:
    command = [sys.executable, "-c", "from dualpt.sweeps.cli import main; main()", "--help"]
    seconds = [_seconds_of(command) for _ in range(run.repeats + 1)][1:]
    return [duration("dualpt_help_seconds", "`dualpt --help`", seconds, "< 1 s")]


def launch_overhead(run: Run) -> list[Row]:
    """A launch of few cells and one of many, both of instant training: a fixed part, and one per cell."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    # The first launch reads libraries from the disk.
    _, few, many = (_timed_launch(seeds) for seeds in ((1, 1, 2) if run.quick else (1, 1, 10)))
    per_cell = (many[1] - few[1]) / (many[0] - few[0])
    fixed = few[1] - per_cell * few[0]
    share = 100 * (fixed + per_cell * TRIALS) / (TRIALS * TRIAL_SECONDS / 2)
    title = f"share of {TRIALS} one-cell trials of {TRIAL_SECONDS} s on 2 workers, extrapolated"
    return [
        counted("launch_fixed_seconds", "a launch's start: Ray, two workers with torch, the ledger", fixed, "s"),
        counted("launch_seconds_per_cell", "assigning and recording a cell", per_cell, "s"),
        counted("overhead_percent_of_200_trials_of_60_seconds", title, share, "%", "≤ 5 %"),
    ]


def _timed_launch(seeds: int) -> tuple[int, float]:
    """Cells and seconds."""
    with TemporaryDirectory() as folder:
        sweep = declared(Path(folder), seeds=seeds, shots=[16])
        start = time.perf_counter()
        outcome = launch(sweep, console=Console(quiet=True), progress=False, runner=InstantRunner, key=instant_key)
        return outcome.trained, time.perf_counter() - start


def finished_sweep(run: Run) -> list[Row]:
    """Launch a sweep of which every cell is on record, with the real cell keys, in a fresh process."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        seeds = 2 if run.quick else 91
        sweep = declared(folder, seeds=seeds)
        draw_mini_datasets(sweep, console=Console(quiet=True), progress=False)
        cells = _write_finished(sweep, folder / "mlflow.db")
        seconds = [_seconds_of([sys.executable, "-m", "benchmarks.machinery", name, str(seeds)])]
    return [duration("finished_sweep_seconds", f"finding a sweep of {cells:,} cells finished", seconds, "≤ 60 s")]


def _write_finished(sweep: LoadedSweep, database: Path) -> int:
    """Record one cell of each trial as a worker does, and all others as copies of its rows; returns their number."""
    ledger, plan = Ledger(sweep.file.run.tracking_uri), plan_sweep(sweep)
    experiment = ledger.experiment(sweep.file.name)
    sweep_run = ledger.open_sweep(experiment, sweep.file.name)
    for trial in plan.baselines:
        ref = ledger.open_trial(experiment, sweep_run, sweep.file.name, trial.name, trial.kind, trial.setting)
        first = KeyedCell(trial.cells[0], cell_key(trial.cells[0]))
        template = ledger.record(ref, first, instant_result(first.cell, first.key), seconds=1.0)
        with sqlite3.connect(database) as connection:
            _copy_cells(connection, template, ref, trial)
        ledger.close_trial(ref, "FINISHED")
    ledger.close(sweep_run, "FINISHED")
    return plan.cells


def _copy_cells(connection: sqlite3.Connection, template: str, ref: TrialRef, trial: TrialPlan) -> None:
    columns = {
        table: [row[1] for row in connection.execute(f"pragma table_info({table})") if row[1] != "run_uuid"]
        for table in ("runs", "metrics", "latest_metrics")
    }
    for cell in trial.cells[1:]:
        copy = uuid.uuid4().hex
        for table, names in columns.items():
            listed = ", ".join(names)
            connection.execute(
                f"insert into {table} (run_uuid, {listed}) select ?, {listed} from {table} where run_uuid = ?",
                (copy, template),
            )
        for table, values in (("tags", cell_tags(ref, KeyedCell(cell, cell_key(cell)))), ("params", cell_params(cell))):
            connection.executemany(
                f"insert into {table} (run_uuid, key, value) values (?, ?, ?)",
                [(copy, key, value) for key, value in values.items()],
            )


def _seconds_of(command: Sequence[str]) -> float:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=REPOSITORY)
    return time.perf_counter() - start


def main() -> None:
    folder, seeds = Path(sys.argv[1]), int(sys.argv[2])
    outcome = launch(declared(folder, seeds=seeds), console=Console(quiet=True), progress=False, runner=InstantRunner)
    if outcome.trained or outcome.exit_code:
        raise SystemExit(f"cells were trained that are on record: {outcome}")


if __name__ == "__main__":
    main()
