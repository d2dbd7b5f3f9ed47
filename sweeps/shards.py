"""How a trial's cells travel: cut into shards for the workers, and back as outcomes. Loads neither Ray nor torch."""

import math
import statistics
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.results import SELECTION_METRICS
from sweeps.plan import Pack, TrialPlan
from sweeps.records import CellRow, KeyedCell, Status, TrialRef

if TYPE_CHECKING:
    from sweeps.search import Proposal

(SELECTION,) = SELECTION_METRICS


@dataclass(frozen=True)
class CellOutcome:
    """What the driver learns of a cell. Test accuracies stay in the ledger: no searcher can see them."""

    key: str
    run_id: str
    selection: float | None
    """Validation accuracy in percent; None where the method has none."""
    failure: str | None


@dataclass(frozen=True)
class Shard:
    """Some packs of a trial, for one worker."""

    number: int
    trial: TrialRef
    packs: tuple[Pack, ...]


@dataclass
class OpenTrial:
    """A trial with cells left to train."""

    plan: TrialPlan
    ref: TrialRef
    proposal: "Proposal | None"
    undealt: deque[Pack] = field(default_factory=deque)
    untrained: set[str] = field(default_factory=set)
    """Keys of the cells that its shards have still to train."""
    awaited: dict[str, KeyedCell] = field(default_factory=dict)
    """Cells that another open trial is about to train, by key."""
    outcomes: dict[str, CellOutcome] = field(default_factory=dict)
    shards_out: int = 0
    left_out: bool = False
    """Whether cells without a result were left out on purpose: the trial ends without a value."""
    deaths: Counter[str] = field(default_factory=Counter)
    """How often a worker died over a pack, by the pack's first key."""

    @property
    def over(self) -> bool:
        return not self.undealt and not self.shards_out and not self.awaited

    def missing(self, pack: Pack) -> Pack:
        """The cells of a pack that have no outcome yet."""
        return tuple(cell for cell in pack if cell.key not in self.outcomes)

    @property
    def failed(self) -> int:
        return sum(outcome.failure is not None for outcome in self.outcomes.values())

    @property
    def status(self) -> Status:
        """How it ends."""
        if self.failed:
            return "FAILED"
        return "KILLED" if self.left_out else "FINISHED"

    @property
    def value(self) -> float | None:
        """The objective: mean validation accuracy over all cells; None where one is missing or failed."""
        values = [outcome.selection for outcome in self.outcomes.values() if outcome.failure is None]
        known = [value for value in values if value is not None and math.isfinite(value)]
        whole = len(known) == len(self.outcomes) and not self.left_out
        return statistics.fmean(known) if known and whole else None


def outcome_of(row: CellRow) -> CellOutcome:
    """The part of a recorded cell that the driver may see."""
    return CellOutcome(row.key, row.run_id, row.metrics.get(SELECTION), row.failure)
