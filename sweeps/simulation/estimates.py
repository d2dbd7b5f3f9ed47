"""What training would give, estimated from what is recorded: seconds of cells, and scores of candidates."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from dualpt.core.cell import Cell, pack_of
from dualpt.sweeps.planning.durations import RecordedSeconds
from dualpt.sweeps.planning.plan import classes_of
from dualpt.sweeps.records import CellRow, TrialCell

ASSUMED_SECONDS = 60.0
"""Mean seconds of a cell where none of its shape is recorded."""
ASSUMED_CLASSES = 12
"""Classes of datasets that the catalogue of real ones lacks: those of the mini grid."""
EFFECT, RESIDUAL = 4.3, 4.4
"""Standard deviations, in points of validation accuracy, of a setting's mean and of its datasets around it, where no
candidate is recorded: those of the 96 random settings of `benchmarks/data/mini-racing.csv`."""
FEWEST = 8
"""Recorded candidates that suffice to draw from."""


class Seconds(Protocol):
    """What cells take."""

    def of(self, cell: Cell) -> float:
        """Seconds of training."""


@dataclass(frozen=True)
class AssumedSeconds:
    """Seconds where nothing is recorded, by dataset and shots."""

    by_place: Mapping[tuple[str, int], float]

    def of(self, cell: Cell) -> float:
        return self.by_place.get((cell.dataset, cell.shots), ASSUMED_SECONDS)


def assumed_seconds(cells: Sequence[Cell]) -> AssumedSeconds:
    """Seconds in proportion to classes times shots, `ASSUMED_SECONDS` on average."""
    classes = {c.dataset: classes_of(c.dataset, c.setting.data.folder) or ASSUMED_CLASSES for c in cells}
    weights = {(c.dataset, c.shots): float(classes[c.dataset] * c.shots) for c in cells if c.shots}
    mean = statistics.fmean(weights.values()) if weights else 1.0
    return AssumedSeconds({place: ASSUMED_SECONDS * weight / mean for place, weight in weights.items()})


class CellSeconds:
    """Recorded seconds of cells of the same shape, else of those that differ in searched keys, else assumed ones."""

    def __init__(self, recorded: RecordedSeconds, assumed: AssumedSeconds, searched: frozenset[str]) -> None:
        self._recorded, self._assumed, self._searched = recorded, assumed, searched
        self._known: dict[str, float] = {}

    def of(self, cell: Cell) -> float:
        shape = pack_of(cell)
        if shape not in self._known:
            rows = self.measured(cell)
            self._known[shape] = statistics.fmean(row.seconds for row in rows) if rows else self._assumed.of(cell)
        return self._known[shape]

    def measured(self, cell: Cell) -> Sequence[CellRow]:
        """The finished cells that stand for a cell; none where its seconds are assumed."""
        return self._recorded.of_shape(cell) or self._recorded.of_shape(cell, self._searched)


@dataclass(frozen=True)
class Scores:
    """How candidates differ: each drawn one has a mean, and a residual on each dataset."""

    datasets: tuple[str, ...]
    levels: Mapping[str, float]
    """Mean validation accuracy on each dataset, in percent."""
    effects: tuple[float, ...]
    """Means of recorded candidates around that; empty to draw from a normal distribution."""
    residuals: tuple[tuple[float, ...], ...]
    """What is left on each dataset, candidate by candidate."""

    def draw(self, random: Random) -> dict[str, float]:
        """Scores of a new candidate: one recorded mean, and the residuals of another recorded candidate."""
        if self.effects:
            effect, residuals = random.choice(self.effects), random.choice(self.residuals)
        else:
            effect, residuals = random.gauss(0, EFFECT), tuple(random.gauss(0, RESIDUAL) for _ in self.datasets)
        return {
            name: self.levels[name] + effect + residual for name, residual in zip(self.datasets, residuals, strict=True)
        }


def estimated_scores(datasets: Sequence[str], recorded: Iterable[Sequence[float]]) -> Scores:
    """Take apart the scores of recorded candidates.

    Args:
        datasets: the judged datasets, in order.
        recorded: each candidate's score on its first datasets; incomplete ones are left out.
    """
    whole = [scores for scores in recorded if len(scores) == len(datasets)]
    if len(whole) < FEWEST:
        return Scores(tuple(datasets), dict.fromkeys(datasets, 50.0), (), ())
    levels = [statistics.fmean(scores[place] for scores in whole) for place in range(len(datasets))]
    overall = statistics.fmean(levels)
    effects = [statistics.fmean(scores) - overall for scores in whole]
    residuals = [
        tuple(score - level - effect for score, level in zip(scores, levels, strict=True))
        for scores, effect in zip(whole, effects, strict=True)
    ]
    return Scores(tuple(datasets), dict(zip(datasets, levels, strict=True)), tuple(effects), tuple(residuals))


@dataclass(frozen=True)
class EstimatedWorld:
    """Seconds by dataset and shots; scores by candidate and dataset, the same at every seed."""

    taken: Seconds
    scores: Mapping[str, Mapping[str, float]]

    def seconds(self, keyed: TrialCell) -> float:
        return self.taken.of(keyed.cell) if keyed.cell.shots else 0.0

    def accuracy(self, keyed: TrialCell) -> float:
        """In percent; trials that are not candidates influence nothing."""
        return self.scores.get(keyed.trial.name, {}).get(keyed.cell.dataset, 0.0)
