"""What a launch declared, kept on the sweep's run, so that cells which never began are known to be missing.

One entry per protocol, from the launch that last ran it; an earlier, wider grid is known by its recorded cells alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

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
    earlier = json.loads(before) if before and is_declaration(before) else {}
    return json.dumps({**earlier, sweep.file.grid.protocol: grids})


def missing_cells(declared: str, rows: Sequence[CellRow]) -> list[MissingCell]:
    """Declared cells of which `rows` hold no attempt.

    Args:
        declared: the recorded text, or empty.
        rows: the sweep's recorded cells.
    """
    known = {(row.trial, row.protocol, row.dataset, row.shots, row.seed) for row in rows}
    return [
        MissingCell(name, kind, protocol, *place)
        for protocol, grids in _entries(declared).items()
        for grid in grids
        for (name, kind), place in product(grid.trials.items(), product(grid.dataset, grid.shots, grid.seed))
        if (name, protocol, *place) not in known
    ]


def is_declaration(text: str) -> bool:
    """Whether a recorded text is one that `declaration` may have written; the empty one is."""
    try:
        _DECLARATION.validate_json(text or "{}")
    except ValidationError:
        return False
    return True


def _entries(text: str) -> "dict[str, list[_DeclaredGrid]]":
    """Protocol -> its grids; nothing where the text was damaged: what never began is then unknown."""
    return _DECLARATION.validate_json(text) if text and is_declaration(text) else {}


class _DeclaredGrid(BaseModel):
    """The trials that share their axes."""

    dataset: list[str]
    shots: list[int]
    seed: list[int]
    trials: dict[str, Kind]


_DECLARATION = TypeAdapter(dict[str, list[_DeclaredGrid]])
