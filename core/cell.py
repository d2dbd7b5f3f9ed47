"""From cells to results. Config stops here; below are flat arguments and tensors.

A `Bench` holds what cells share in one process (the frozen CLIP, splits, banks, features) and trains packs of cells that
may share their steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from core.cells import Cell
from core.results import CellMetrics


@dataclass(frozen=True)
class CellResult:
    cell: Cell
    key: str
    """Hash of everything that determines the numbers."""
    metrics: CellMetrics
    per_class: Mapping[str, Mapping[str, float]]
    """Test set name (`test`, `base`, `new`) -> class name -> accuracy in percent."""
    loss_curve: tuple[float, ...]
    contexts: Tensor | None
    sample_fingerprint: str | None
    failure: str | None = None
    """Why the cell failed (for example a loss that is not finite), or None."""


class Bench:
    """What cells share in one process."""

    def __init__(self, *, cache: Path | None = None, device: str = "auto") -> None: ...

    def key(self, cell: Cell) -> str:
        """Hash of all that determines the cell's numbers; reads split files and weights hashes, loads no model."""
        raise NotImplementedError

    def check(self, cells: Sequence[Cell]) -> None:
        """Find every fault of the cells' inputs before compute is spent.

        Raises:
            UserError: one line naming the file or key and the remedy.
        """
        raise NotImplementedError

    def prepare(self, cells: Sequence[Cell], progress: Callable[[int, int, str], None] | None = None) -> None:
        """Write the mini grid where it is asked for, and compute the features that the cells need."""
        raise NotImplementedError

    def run(
        self,
        cells: Sequence[Cell],
        report: Callable[[int, int], None] | None = None,
        checkpoint: Path | None = None,
    ) -> list[CellResult]:
        """Train one pack: cells of equal `pack_of`, as replicas of the same steps. Results in the given order."""
        raise NotImplementedError
