"""How a trial's cells travel: in stages and shards to the workers, back as outcomes. Loads neither Ray nor torch."""

import math
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

from dualpt.sweeps.planning.plan import TrialPlan
from dualpt.sweeps.records import CellOutcome, DealtCell, Status, TrialRef

if TYPE_CHECKING:
    from dualpt.sweeps.search import Proposal

Pack = tuple[DealtCell, ...]
"""Cells that train in the same steps, as replicas: of one trial, or of several candidates."""


REPLICAS_ON_CPU, REPLICAS_ON_GPU = 4, 16
"""Replicas of a step that `search.pack: auto` aims at. On one CPU core, 4 candidates with one seed train at 1.3 to 1.5
times the speed of single ones on the mini grid, and 8 hardly faster (docs/racing.md); a GPU is launch-bound far longer,
and a pack that does not fit into its memory is tried again in parts."""


@dataclass(frozen=True)
class Shard:
    """Some packs, for one worker."""

    number: int
    packs: tuple[Pack, ...]

    @property
    def trial(self) -> TrialRef:
        """The trial that it was dealt for; its packs may hold cells of others."""
        return self.packs[0][0].trial

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: nothing in it changes, and Tune copies configurations and keeps them to the end."""
        return self


@dataclass
class OpenTrial:
    """A trial with cells left to train."""

    number: int
    """It was the n-th to be opened."""
    plan: TrialPlan
    ref: TrialRef
    proposal: "Proposal | None"
    cells: tuple[DealtCell, ...]
    later: deque[tuple[DealtCell, ...]]
    """Stages that have not begun: a race decides before each but the first."""
    undealt: deque[Pack] = field(default_factory=deque)
    awaited: dict[str, DealtCell] = field(default_factory=dict)
    """Cells that another open trial is about to train, by key."""
    outcomes: dict[str, CellOutcome] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    """Keys of the cells that were counted before the race gave it up."""
    shards_out: int = 0
    scores: list[float] = field(default_factory=list)
    """Mean validation accuracy, in percent, on each of its first datasets, as far as `rescore` has found them whole."""
    left_out: bool = False
    """Whether cells without a result were left out on purpose: the trial ends without a value."""

    @property
    def staged(self) -> bool:
        """Whether nothing of the stages that have begun is left to train."""
        return not self.undealt and not self.shards_out and not self.awaited

    @property
    def failed(self) -> int:
        return sum(outcome.failure is not None for outcome in self.outcomes.values())

    @property
    def failure(self) -> str | None:
        """Why its first failed cell failed."""
        return next((outcome.failure for outcome in self.outcomes.values() if outcome.failure is not None), None)

    @property
    def status(self) -> Status:
        """How it ends."""
        if self.failed:
            return "FAILED"
        return "KILLED" if self.left_out else "FINISHED"

    @property
    def value(self) -> float | None:
        """The objective: mean validation accuracy over all cells; None where one is missing or failed."""
        known = _validation(self.outcomes.values())
        return statistics.fmean(known) if known and len(known) == len(self.cells) else None

    @cached_property
    def by_dataset(self) -> list[tuple[DealtCell, ...]]:
        """Its cells grouped by dataset, in the order of the race."""
        return by_dataset(self.cells)

    def rescore(self) -> None:
        """Add the scores of the datasets that have become whole."""
        for cells in self.by_dataset[len(self.scores) :]:
            known = _validation(self.outcomes[cell.key] for cell in cells if cell.key in self.outcomes)
            if len(known) < len(cells):
                return
            self.scores.append(statistics.fmean(known))


def by_dataset(cells: Sequence[DealtCell]) -> list[tuple[DealtCell, ...]]:
    """Cells grouped by dataset, in the order in which datasets first come."""
    groups: dict[str, list[DealtCell]] = {}
    for dealt in cells:
        groups.setdefault(dealt.cell.dataset, []).append(dealt)
    return [tuple(group) for group in groups.values()]


def stages(cells: Sequence[DealtCell], decisions: Sequence[int]) -> Iterator[tuple[DealtCell, ...]]:
    """A candidate's cells between decisions, dataset by dataset.

    Args:
        decisions: numbers of datasets done at which it is decided whether it goes on.
    """
    groups = by_dataset(cells)
    for begin, end in zip((0, *decisions), (*decisions, len(groups)), strict=True):
        yield tuple(cell for group in groups[begin:end] for cell in group)


def smaller_packs(pack: Pack) -> list[Pack]:
    """A pack that failed, in parts to be tried once more: one a trial, or else one a cell; empty for a single cell."""
    by_trial: dict[TrialRef, list[DealtCell]] = {}
    for cell in pack:
        by_trial.setdefault(cell.trial, []).append(cell)
    if len(by_trial) > 1:
        return [tuple(cells) for cells in by_trial.values()]
    return [(cell,) for cell in pack] if len(pack) > 1 else []


def settings_per_pack(pack: int | Literal["auto"], n_seeds: int, on_gpu: bool) -> int:
    """How many candidates may share the steps of a pack.

    Args:
        pack: `search.pack`.
        n_seeds: replicas that each candidate has anyway.
        on_gpu: whether workers have one.
    """
    if pack != "auto":
        return pack
    return max(1, (REPLICAS_ON_GPU if on_gpu else REPLICAS_ON_CPU) // n_seeds)


def _validation(outcomes: Iterable[CellOutcome]) -> list[float]:
    values = [outcome.selection for outcome in outcomes if outcome.failure is None]
    return [value for value in values if value is not None and math.isfinite(value)]
