"""What a launch declared, kept on the sweep's run, so that cells which never began are known to be missing.

One entry per protocol, from the launch that last ran it; an earlier, wider grid is known by its recorded cells alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.planning.plan import SweepPlan, TrialPlan, grid_cells
from dualpt.sweeps.records import CellRow, Kind

AXES = ("dataset", "shots", "seed")


@dataclass(frozen=True)
class MissingCell:
    """A cell that was declared and has no record at all."""

    trial: str
    kind: Kind
    protocol: str
    dataset: str
    shots: int
    seed: int
    status: Literal["MISSING"] = "MISSING"
    failure: None = None
    finished: Literal[False] = False

    def flat(self) -> dict[str, Any]:
        """One row of a table, as `CellRow.flat` gives it."""
        names = ("trial", "kind", "dataset", "protocol", "shots", "seed", "status", "failure")
        return {name: getattr(self, name) for name in names} | {"key": "", "run_id": "", "seconds": 0.0}


def declaration(sweep: LoadedSweep, plan: SweepPlan, before: str, selected: Sequence[TrialPlan] = ()) -> str:
    """The text to record: the trials over the whole grid, beside what launches under other protocols declared.

    Args:
        before: the text on record, or empty.
        selected: what a search has selected. Only needed where shots are searched: else its place is known before.
    """
    trials = [*plan.baselines, *selected]
    if sweep.file.search is not None and not sweep.file.searches_shots:
        trials.append(TrialPlan("best", "best", sweep.reference, grid_cells(sweep, sweep.reference)))
    grids: list[dict[str, Any]] = []
    for trial in trials:
        axes = {axis: list(dict.fromkeys(getattr(cell, axis) for cell in trial.cells)) for axis in AXES}
        grid = next((grid for grid in grids if all(grid[axis] == axes[axis] for axis in axes)), None)
        if grid is None:
            grids.append(grid := {**axes, "trials": {}})
        grid["trials"][trial.name] = trial.kind
    return json.dumps({**(json.loads(before) if before else {}), sweep.file.grid.protocol: grids})


def missing_cells(declared: str, rows: Sequence[CellRow]) -> list[MissingCell]:
    """Declared cells of which `rows` hold no attempt.

    Args:
        declared: the recorded text, or empty.
        rows: the sweep's recorded cells.
    """
    known = {(row.trial, row.protocol, row.dataset, row.shots, row.seed) for row in rows}
    entries = json.loads(declared) if declared else {}
    return [
        MissingCell(name, kind, protocol, *place)
        for protocol, grids in entries.items()
        for grid in grids
        for (name, kind), place in product(grid["trials"].items(), product(*(grid[axis] for axis in AXES)))
        if (name, protocol, *place) not in known
    ]
