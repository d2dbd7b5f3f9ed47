"""What the run of a cell holds: parameters, metrics with the loss curve, and artifacts. Knows nothing of MLflow."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from core.cells import Cell
from core.config import Setting
from sweeps import records
from sweeps.records import KeyedCell

if TYPE_CHECKING:
    from core.cell import CellResult

CURVE_POINTS = 100
"""Most points of a recorded loss curve; longer ones are thinned evenly."""
LOSS = "train/loss"


class Point(NamedTuple):
    """One value of a metric; `step` is the epoch on curves and 0 elsewhere."""

    name: str
    value: float
    step: int = 0


def cell_params(cell: Cell) -> dict[str, str]:
    """The setting's active keys and the cell's own, by dotted name."""
    own = {
        records.DATASET_PARAM: cell.dataset,
        records.PROTOCOL_PARAM: cell.protocol,
        records.SHOTS_PARAM: cell.shots,
        records.SEED_PARAM: cell.seed,
    }
    return {key: str(value) for key, value in {**cell.setting.active(), **own}.items()}


def cell_points(result: "CellResult") -> list[Point]:
    """The metrics by name; the loss as a curve over epochs, whose last point is the reported loss."""
    curve = _thinned([Point(LOSS, loss, epoch) for epoch, loss in enumerate(result.loss_curve, start=1)])
    scalars = result.metrics.by_name()
    if curve:
        scalars.pop(LOSS, None)
    return [Point(name, value) for name, value in scalars.items()] + curve


def write_cell(folder: Path, keyed: KeyedCell, result: "CellResult") -> None:
    """Write a cell's files: the resolved setting, the accuracy of every class, the learned contexts.

    Never the backbone: contexts are some kilobytes, and the frozen towers are named in the setting.
    """
    write_setting(folder, keyed.cell.setting)
    _write_json(folder / "per_class.json", {test_set: dict(classes) for test_set, classes in result.per_class.items()})
    if result.contexts is not None:
        from core.checkpoint import save_contexts

        described = {"cell_key": keyed.key, **cell_params(keyed.cell)}
        save_contexts(folder / "contexts.safetensors", result.contexts.detach().cpu().contiguous(), described)


def write_setting(folder: Path, setting: Setting) -> None:
    """Write the resolved setting, every key by its dotted name."""
    _write_json(folder / "setting.json", setting.flat())


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _thinned(points: list[Point]) -> list[Point]:
    """At most `CURVE_POINTS` of the points, evenly spaced, the last included."""
    stride = max(1, -(-len(points) // CURVE_POINTS))
    return points[::-1][::stride][::-1]
