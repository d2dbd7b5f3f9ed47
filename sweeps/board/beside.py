"""Two sweeps side by side: what differs in their fixed settings and grids, and how their methods did."""

import json
from typing import Any

from dualpt.core.config.setting import SETTING_KEYS
from dualpt.core.errors import UserError
from dualpt.sweeps.board.views import in_order
from dualpt.sweeps.comparison.compare import own_metric
from dualpt.sweeps.comparison.frames import cells_frame, finished_shots
from dualpt.sweeps.comparison.labels import AVERAGE, column_title, method_title
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.ledger.reading import SweepReader
from dualpt.sweeps.planning.declared import missing_cells
from dualpt.sweeps.records import CellRow

NOT_RECORDED = "not recorded"


def differences(reader: SweepReader, names: tuple[str, str]) -> dict[str, Any]:
    """Rows of (key, value in the first, value in the second), where they differ; and each sweep's averages.

    Raises:
        UserError: there is no such sweep.
    """
    experiments = [reader.named_experiment(name) for name in names]
    rows = [reader.shown_cells(experiment, ()) for experiment in experiments]
    sweeps = [reader.sweep_row(experiment) for experiment in experiments]
    fixed = [_fixed("" if sweep is None else sweep.fixed) for sweep in sweeps]
    known = {key for one in fixed for key in one}
    keys = [key for key in SETTING_KEYS if key in known] + sorted(known - set(SETTING_KEYS))
    grids = [_grid(one) for one in rows]
    lines = [[axis, grids[0][axis], grids[1][axis]] for axis in grids[0]]
    absent = ["not used" if one else NOT_RECORDED for one in fixed]
    lines += [[key, fixed[0].get(key, absent[0]), fixed[1].get(key, absent[1])] for key in keys]
    averages = []
    for name, own, sweep in zip(names, rows, sweeps, strict=True):
        missing = missing_cells(sweep.declared, own) if sweep is not None else []
        averages.append(_averages(name, cells_frame(name, own, missing)))
    return {"differing": [line for line in lines if line[1] != line[2]], "equal": _equal(lines), "averages": averages}


def _equal(lines: list[list[str]]) -> int:
    return sum(line[1] == line[2] for line in lines)


def _fixed(text: str) -> dict[str, str]:
    """Key -> value as recorded; nothing where an earlier version recorded none, or the text is damaged."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(key): str(value).strip('"') for key, value in found.items()} if isinstance(found, dict) else {}


def _grid(rows: list[CellRow]) -> dict[str, str]:
    drawn = [row for row in rows if row.shots]
    return {
        "datasets": ", ".join(column_title(name) for name in in_order({row.dataset for row in rows})),
        "protocol": ", ".join(sorted({row.protocol for row in rows})),
        "shots": ", ".join(map(str, sorted({row.shots for row in drawn}))),
        "seeds": ", ".join(map(str, sorted({row.seed for row in drawn}))),
        "candidates": str(len({row.trial for row in rows if row.kind == "search"})),
    }


def _averages(name: str, frame: Any) -> dict[str, Any]:
    """A sweep's methods by their average over datasets at the most shots, or why there is none."""
    try:
        selection = select({name: frame})
        metric = own_metric(selection.protocol)
        shots = max(finished_shots(selection.cells, metric), default=0)
        table = comparison(selection.cells, selection.grid, shots=shots, metric=metric)
    except UserError as error:
        return {"title": "", "rows": [], "absent": str(error)}
    rows = [[method_title(method), table.text(method, AVERAGE)] for method in table.methods]
    return {"title": table.title, "rows": rows, "absent": ""}
