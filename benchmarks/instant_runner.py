"""A runner that trains nothing: what a launch takes with it is what the sweep machinery itself takes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dualpt.core.cell import Cell
from dualpt.core.config.activity import active_values
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.results import CellMetrics
from dualpt.core.running.cell_runner import CellResult
from dualpt.core.training.progress import Report


def instant_key(cell: Cell) -> str:
    """A key that reads no files."""
    return fingerprint([active_values(cell.setting), cell.dataset, cell.protocol, cell.shots, cell.seed])


def instant_result(cell: Cell, key: str) -> CellResult:
    metrics = CellMetrics.model_validate({"val/accuracy": 50.0, "test/accuracy": 50.0, "train/seconds": 0.0})
    return CellResult(cell, key, metrics, {"test": {"a": 50.0}}, loss_curve=(2.0, 1.0), sample_fingerprint=key)


class InstantRunner:
    """As `dualpt.core.running.cell_runner.CellRunner`, with results at once."""

    def check(self, cells: Sequence[Cell]) -> None:
        pass

    def prepare(self, cells: Sequence[Cell], progress: Callable[[int, int, str], None] | None = None) -> None:
        pass

    def run(
        self, cells: Sequence[Cell], report: Report | None = None, checkpoint: Path | None = None
    ) -> list[CellResult]:
        return [instant_result(cell, instant_key(cell)) for cell in cells]
