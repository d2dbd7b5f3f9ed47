"""How long the commands that read take at 10,000 cells: CPU seconds of the whole process, imports included.

    python -m benchmarks.comparison                  about a minute
    python -m benchmarks.comparison --keep FOLDER    keeps the store, and uses it again

One cell is recorded by the ledger itself and then copied in the database, row by row with its tags, parameters and
metrics, under 61 trials of 11 datasets, 5 numbers of shots and 3 seeds.
"""

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.core.data.catalog import MINI_GRID
from dualpt.core.presets import method_setting
from dualpt.core.results import CellMetrics
from dualpt.sweeps import records
from dualpt.sweeps.ledger.mlflow import Ledger

TABLES = ("runs", "tags", "params", "latest_metrics")
TRIALS, SHOTS, SEEDS = 61, (1, 2, 4, 8, 16), (1, 2, 3)
PLACES = {records.DATASET_PARAM: 0, records.SHOTS_PARAM: 1, records.SEED_PARAM: 2}

COMMANDS = (
    "compare big --shots 16",
    "compare big --shots 16 --baseline CoOp",
    "compare big --all-shots --baseline CoOp",
    "status big",
    "status",
    "figure curves big -o curves.png",
    "report big --no-log --out report.html",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder of the store; made where there is none")
    kept: Path | None = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as temporary:
        folder = kept or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "mlflow.db").exists():
            fill(f"sqlite:///{folder.absolute()}/mlflow.db", folder)
        console = Console()
        console.print(f"{TRIALS * len(MINI_GRID) * len(SHOTS) * len(SEEDS)} cells", highlight=False)
        for command in COMMANDS:
            console.print(f"  dualpt {command}: {cpu_seconds(command, folder):.1f} s of CPU", highlight=False)


def cpu_seconds(command: str, folder: Path) -> float:
    """User and system seconds of one command run in a folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, "-m", "dualpt.sweeps.cli", *command.split()]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(program, cwd=folder, check=True, capture_output=True, env=here)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fill(store: str, folder: Path) -> None:
    """Record a sweep with one cell, and copy the cell to every place of the grid."""
    from dualpt.core.running.cell_runner import CellResult

    ledger = Ledger(store)
    experiment = ledger.experiment("big")
    sweep, setting = ledger.open_sweep(experiment, "big"), method_setting("dualpt")
    cell = Cell(setting, MINI_GRID[0], "few-shot", SHOTS[0], SEEDS[0])
    values = {"val/accuracy": 60.0, "test/accuracy": 60.0, "train/loss": 0.5, "train/seconds": 1.0}
    result = CellResult(cell, "key", CellMetrics.model_validate(values), {"test": {"a": 1.0}}, (2.0, 1.0, 0.5))
    names = ["coop", *(f"variant {n}" for n in range(1, TRIALS))]
    trials = [ledger.open_trial(experiment, sweep, "big", n, "variant", setting) for n in names]
    model = ledger.record(trials[0], records.KeyedCell(cell, "key"), result, 1.0)
    with sqlite3.connect(folder / "mlflow.db") as connection:
        columns = {t: [row[1] for row in connection.execute(f"PRAGMA table_info({t})")] for t in TABLES}
        for number, (trial, place) in enumerate(places(), start=1):
            copy(connection, columns, model, number, trials[trial], place)


def places() -> Iterator[tuple[int, tuple[str, int, int]]]:
    """Trial and place of every cell but the model's own."""
    everywhere = product(range(TRIALS), product(MINI_GRID, SHOTS, SEEDS))
    next(everywhere)
    yield from everywhere


def copy(
    connection: sqlite3.Connection,
    columns: Mapping[str, list[str]],
    model: str,
    number: int,
    trial: records.TrialRef,
    place: tuple[str, int, int],
) -> None:
    """Copy a run with its tags, parameters and latest metrics, under another trial and at another place."""
    run = f"{number:032x}"
    for table in TABLES:
        kept = ", ".join(column for column in columns[table] if column != "run_uuid")
        connection.execute(
            f"INSERT INTO {table} (run_uuid, {kept}) SELECT ?, {kept} FROM {table} WHERE run_uuid = ?", (run, model)
        )
    for key, index in PLACES.items():
        connection.execute("UPDATE params SET value = ? WHERE run_uuid = ? AND key = ?", (str(place[index]), run, key))
    tags = {records.KEY_TAG: run, records.TRIAL_TAG: trial.name, records.PARENT_TAG: trial.run_id}
    for key, value in tags.items():
        connection.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = ?", (value, run, key))
    accuracy = 50 + (number * 7919) % 1000 / 100
    query = "UPDATE latest_metrics SET value = ? WHERE run_uuid = ? AND key = 'test/accuracy'"
    connection.execute(query, (accuracy, run))


if __name__ == "__main__":
    main()
