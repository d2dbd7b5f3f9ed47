"""How long comparing takes at 10,000 cells: reading by MLflow's client, reading in bulk, making every table.

    python -m benchmarks.comparison            about two minutes: most of it MLflow's client

One cell is recorded by the ledger itself and then copied in the database, row by row with its tags, parameters and
metrics, under 60 trials of 11 datasets, 5 numbers of shots and 3 seeds.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from core.cells import Cell
from core.data.catalog import MINI_GRID
from core.methods import method_setting
from core.results import CellMetrics
from sweeps import records
from sweeps.comparison.compare import tables_of
from sweeps.comparison.frames import read_frame
from sweeps.comparison.selection import select
from sweeps.tracking import Ledger

T = TypeVar("T")

TABLES = ("runs", "tags", "params", "latest_metrics")
TRIALS, SHOTS, SEEDS = 61, (1, 2, 4, 8, 16), (1, 2, 3)
PLACES = {records.DATASET_PARAM: 0, records.SHOTS_PARAM: 1, records.SEED_PARAM: 2}


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        cells = fill(store, Path(folder))
        console.print(f"{cells} cells", highlight=False)
        ledger = Ledger(store)
        frame = timed(console, "read the sweep", lambda: read_frame("big", store))
        timed(console, "finished cells of the whole store", ledger.finished_cells)
        selection = timed(console, "select", lambda: select({"big": frame}))
        timed(console, "tables at 16 shots", lambda: tables_of(selection, shots=16))
        timed(console, "tables and statistics against CoOp", lambda: tables_of(selection, shots=16, baseline="coop"))


def timed(console: Console, what: str, work: Callable[[], T]) -> T:
    started = time.perf_counter()
    result = work()
    console.print(f"  {what}: {time.perf_counter() - started:.2f} s", highlight=False)
    return result


def fill(store: str, folder: Path) -> int:
    """Record a sweep with one cell, copy the cell to every place of the grid, and return how many there are."""
    from core.cell import CellResult

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
    return number + 1


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
