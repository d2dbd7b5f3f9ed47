"""What a search's best validation accuracy rests on: the highest of several means over cells with few images each."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps.records import CellRow


@dataclass(frozen=True)
class SelectionBasis:
    """What the best candidate's validation accuracy is the mean of, and what it is the highest of."""

    candidates: int
    """Those that finished a cell, the ones given up by a race included."""
    cells: int
    """Of the best candidate, each with a validation accuracy."""
    standard_error: float | None
    """Of the mean over those cells, in points; None for a single cell. Datasets differ, and that is in it."""
    validation_images: tuple[int, int] | None = None
    """Fewest and most in a cell; None where they are not on record."""

    def __str__(self) -> str:
        """`highest of 5 candidates; mean of 33 cells, standard error 1.3; 20 to 40 validation images in each`."""
        parts = [f"highest of {self.candidates} candidates" if self.candidates > 1 else "of the only candidate"]
        error = "" if self.standard_error is None else f", standard error {self.standard_error:.1f}"
        parts.append(f"mean of {self.cells} cells{error}" if self.cells > 1 else "of a single cell")
        if self.validation_images is not None:
            fewest, most = self.validation_images
            images = str(most) if fewest == most else f"{fewest} to {most}"
            parts.append(f"{images} validation images in {'each' if self.cells > 1 else 'it'}")
        return "; ".join(parts)


def selection_basis(
    rows: Sequence[CellRow], best: str, validation_images: tuple[int, int] | None = None
) -> SelectionBasis | None:
    """What the accuracy of the candidate `best` rests on; None where its cells are not among `rows`."""
    judged = [row for row in rows if row.kind == "search" and row.finished and VAL_ACCURACY in row.metrics]
    own = [row.metrics[VAL_ACCURACY] for row in judged if row.trial == best]
    if not own:
        return None
    error = statistics.stdev(own) / math.sqrt(len(own)) if len(own) > 1 else None
    return SelectionBasis(len({row.trial for row in judged}), len(own), error, validation_images)


def accuracy_text(value: float, basis: SelectionBasis | None) -> str:
    """`validation accuracy 64.2 (highest of …)`."""
    return f"validation accuracy {value:.1f}" + ("" if basis is None else f" ({basis})")
