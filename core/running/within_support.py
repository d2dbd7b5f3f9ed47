"""Cells that are judged within their support set: fitted on a part of it, judged on the rest, and fitted again on all.

The test sets see what all of the support set taught; the divisions give the validation accuracy by which a search
selects, and the options that a method leaves open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from dualpt.core.cell import chooses
from dualpt.core.data.protocols import CellData
from dualpt.core.inputs.reading import CellInputs
from dualpt.core.running.feature_fits import FeatureFit, fit_cells
from dualpt.core.running.frozen_parts import FrozenParts
from dualpt.core.training.evaluate import Evaluation
from dualpt.core.training.progress import Report
from dualpt.core.training.replica_results import TrainResult


class Train(Protocol):
    """Trains a pack on the data of each cell, and judges it; on its test sets only where `tested`."""

    def __call__(
        self, data: Sequence[CellData], *, tested: bool, report: Report | None, checkpoint: Path | None
    ) -> list[TrainResult]: ...


class Fit(Protocol):
    """What became of fitting one cell, whatever its method."""

    @property
    def val(self) -> Evaluation | None: ...
    @property
    def seconds(self) -> float: ...
    @property
    def failure(self) -> str | None: ...


@dataclass(frozen=True)
class Judged:
    """What the divisions of one cell's support set say of its setting."""

    accuracy: float | None
    """Percent of the images held out, all divisions together; None where a fit failed or nothing was held out."""
    seconds: float
    failure: str | None

    @classmethod
    def by(cls, fits: Sequence[Fit]) -> "Judged":
        """Of one cell's fits, one per division."""
        failure = next((fit.failure for fit in fits if fit.failure is not None), None)
        vals = [fit.val for fit in fits if fit.val is not None]
        images = sum(val.count for val in vals)
        complete = images > 0 and len(vals) == len(fits)
        accuracy = sum(val.accuracy * val.count for val in vals) / images if complete else None
        return cls(accuracy, sum(fit.seconds for fit in fits), failure)


def train_within(
    pack: Sequence[CellInputs], train: Train, report: Report | None, checkpoint: Path | None
) -> list[tuple[TrainResult, Judged]]:
    """Train the prompts of a pack on every division, then on all shots, by the same recipe.

    Args:
        checkpoint: of the last training; those of the divisions lie beside it and are removed here.
    """
    divisions = _divisions(pack)
    steps = len(divisions) + 1
    beside = [None if checkpoint is None else checkpoint.with_suffix(f".division{n}") for n in range(len(divisions))]
    judged = [
        train(data, tested=False, report=_phase(report, n, steps), checkpoint=file)
        for n, (data, file) in enumerate(zip(divisions, beside, strict=True))
    ]
    shots = [inputs.data for inputs in pack]
    final = train(shots, tested=True, report=_phase(report, steps - 1, steps), checkpoint=checkpoint)
    for file in beside:
        if file is not None:
            file.unlink(missing_ok=True)
    return [(result, Judged.by([fits[r] for fits in judged])) for r, result in enumerate(final)]


def fit_within(
    parts: FrozenParts, pack: Sequence[CellInputs], report: Report | None = None
) -> list[tuple[FeatureFit, Judged]]:
    """Fit a method on frozen features to every division, then to all shots with the options chosen there.

    Raises:
        UserError: as `fit_cells`.
    """
    divisions, choosing = _divisions(pack), chooses(pack[0].cell.setting)
    steps = len(divisions) if choosing else len(divisions) + 1  # refits with what was chosen report nothing
    judged = [
        fit_cells(parts, pack, data, tested=False, report=_phase(report, n, steps)) for n, data in enumerate(divisions)
    ]
    if not choosing:
        final = fit_cells(parts, pack, report=_phase(report, steps - 1, steps))
    else:
        (choices,) = judged  # `check_serves` lets no method choose on several divisions
        final = [_refitted(parts, inputs, choice) for inputs, choice in zip(pack, choices, strict=True)]
    return [(fit, Judged.by([fits[r] for fits in judged])) for r, fit in enumerate(final)]


def _refitted(parts: FrozenParts, inputs: CellInputs, choice: FeatureFit) -> FeatureFit:
    """Alone: cells of a pack may choose differently. A fit that failed has chosen nothing, and is the result."""
    if choice.failure is not None:
        return choice
    chosen = {name: int(value) if value.is_integer() else value for name, value in choice.chosen.items()}
    (fit,) = fit_cells(parts, [inputs], chosen=chosen)
    return replace(fit, chosen=choice.chosen)


def _divisions(pack: Sequence[CellInputs]) -> list[tuple[CellData, ...]]:
    """For each division, the data of every cell."""
    return list(zip(*(inputs.judging for inputs in pack), strict=True))


def _phase(report: Report | None, number: int, phases: int) -> Report | None:
    """Reports of one of several trainings of equal length, as a part of all."""
    if report is None:
        return None
    return lambda one: report(replace(one, epoch=number * one.epochs + one.epoch, epochs=phases * one.epochs))
