"""Recorded cells as frames: what every table, statistic and figure is made from.

One row per cell: `sweep`, `trial`, `kind`, `dataset`, `protocol`, `shots`, `seed`, `status`, `seconds`, and one column
per metric (accuracies in percent).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from dualpt.core.data.catalog import MINI_GRID, REAL_GRID
from dualpt.core.data.imported_split import ONE_DRAW
from dualpt.sweeps.comparison.labels import remember_titles
from dualpt.sweeps.ledger.opening import check_exists, open_reader
from dualpt.sweeps.planning.data_notes import read_data_notes
from dualpt.sweeps.planning.declared import MissingCell, missing_cells
from dualpt.sweeps.planning.search_record import read_search_record
from dualpt.sweeps.records import CellRow, Status, recorded_keys

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.mlflow import Ledger


SHOTS_OF_ONE_DRAW = re.compile(ONE_DRAW.format(shots=r"(\d+)"))
"""In what imported features say of themselves."""
DATA_NOTES = "data notes"
"""Key of a frame's `attrs`: what its sweep recorded of its datasets (`DataNotes`)."""
SEARCH_RECORD = "search"
"""Key of a frame's `attrs`: how its sweep searched (`SearchRecord`)."""
LAUNCH_STATUS = "launch status"
"""Key of a frame's `attrs`: how the sweep's last launch ended (`records.Status`)."""


def open_ledger(store: str) -> "Ledger":
    """The tracking store through MLflow, for what needs its artifacts (see `reading.open_reader` for tables alone).

    Raises:
        UserError: the store does not exist, or cannot be used.
    """
    check_exists(store)
    from dualpt.sweeps.ledger.mlflow import Ledger

    return Ledger(store)


def read_frame(name: str, store: str, params: Sequence[str] | None = ()) -> pd.DataFrame:
    """All recorded cells of a sweep, one row each, and those that its last launch declared and never began.

    Args:
        params: keys of the setting that become columns by their dotted names, as text, empty where they are inactive;
            None is every key that some cell has.

    Raises:
        UserError: the store does not exist, or holds no such sweep (the nearest is named).
    """
    reader = open_reader(store)
    experiment = reader.named_experiment(name)
    rows, sweep = reader.shown_cells(experiment, params), reader.sweep_row(experiment)
    if sweep is None:
        return cells_frame(name, rows, params=params)
    missing = missing_cells(sweep.declared, rows)
    return cells_frame(name, rows, missing, params, sweep.data_notes, sweep.search, sweep.status)


def cells_frame(
    name: str,
    rows: Sequence[CellRow],
    missing: Sequence[MissingCell] = (),
    params: Sequence[str] | None = (),
    data_notes: str = "",
    search: str = "",
    status: Status = "FINISHED",
) -> pd.DataFrame:
    """The frame of a sweep's cells; those that never began have the status `MISSING`.

    Args:
        data_notes: what the sweep recorded of its datasets; titles in it hold from now on.
        search: what it recorded of its search.
        status: how its last launch ended.
    """
    keys = recorded_keys(row.params for row in rows) if params is None else params
    found = [{"sweep": name, **row.flat(), **{key: row.params.get(key) for key in keys}} for row in rows]
    frame = pd.DataFrame([*found, *({"sweep": name, **cell.flat()} for cell in missing)])
    for key in keys if not frame.empty else ():
        if key not in frame:  # no cell has begun
            frame[key] = None
    noted = read_data_notes(data_notes)
    remember_titles(noted.titles, noted.methods)
    for dataset, notes in noted.notes.items() if not frame.empty else ():
        for said in filter(None, map(SHOTS_OF_ONE_DRAW.search, notes)):  # validation images differ, and so samples
            drawn = (frame["dataset"] == dataset) & (frame["shots"] == int(said[1]))
            frame.loc[drawn, "sample"] = f"the only draw of {dataset}"
    frame.attrs[DATA_NOTES] = noted
    frame.attrs[SEARCH_RECORD] = read_search_record(search)
    frame.attrs[LAUNCH_STATUS] = status
    return frame


def grid_of(cells: pd.DataFrame) -> tuple[list[str], list[int], list[int]]:
    """Datasets in the field's order of columns, shots and seeds that the cells cover."""
    order = {name: place for place, name in enumerate((*REAL_GRID, *MINI_GRID))}
    datasets = sorted(set(cells["dataset"]), key=lambda name: order.get(name, len(order)))
    drawn = cells[cells["shots"] > 0]
    return datasets, sorted(set(map(int, drawn["shots"]))), sorted(set(map(int, drawn["seed"]))) or [0]


def comparable_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of whole-grid trials: candidates of a search are judged on part of the grid only."""
    return cells if cells.empty else cells[cells["kind"] != "search"]


def finished_shots(cells: pd.DataFrame, metric: str) -> list[int]:
    """Numbers of shots, above 0, at which some finished cell has the metric."""
    if metric not in cells:
        return []
    done = cells[(cells["status"] == "FINISHED") & cells[metric].notna()]
    return sorted(set(map(int, done["shots"])) - {0})


def untrained_methods(cells: pd.DataFrame) -> frozenset[str]:
    """Methods that draw no sample, so all their cells are at 0 shots: one result stands for every seed."""
    shots = cells.groupby("trial")["shots"].max()
    return frozenset(map(str, shots.index[shots == 0]))
