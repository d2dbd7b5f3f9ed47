"""A trial that is being trained: its cells, and what is known of them so far."""

import statistics
from collections import deque
from dataclasses import dataclass, field

from dualpt.sweeps.dispatch.search_feedback import TrialFeedback, validation_accuracies
from dualpt.sweeps.dispatch.work_units import Pack
from dualpt.sweeps.planning.plan import TrialPlan
from dualpt.sweeps.records import CellOutcome, Status, TrialCell, TrialRef


@dataclass
class OpenTrial:
    """A trial with cells left to train."""

    number: int
    """It was the n-th to be opened."""
    plan: TrialPlan
    ref: TrialRef
    feedback: TrialFeedback
    cells: tuple[TrialCell, ...]
    later: deque[tuple[TrialCell, ...]]
    """Stages that have not begun: a race decides before each but the first."""
    unassigned: deque[Pack] = field(default_factory=deque)
    """Packs of the stages that have begun, waiting for a worker."""
    awaited: dict[str, TrialCell] = field(default_factory=dict)
    """Cells that another open trial is about to train, by key."""
    outcomes: dict[str, CellOutcome] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()
    """Keys of the cells that were counted before the race gave it up."""
    units_out: int = 0
    """Work units in training that hold cells of it."""
    stopped_by: str = ""
    """Who has stopped it, and when; empty where nobody has."""
    left_out: bool = False
    """Whether cells without a result were left out on purpose: the trial ends without a value."""

    @property
    def is_candidate(self) -> bool:
        return self.plan.kind == "search"

    @property
    def stage_done(self) -> bool:
        """Whether nothing is left to train of the stages that have begun."""
        return not self.unassigned and not self.units_out and not self.awaited

    @property
    def is_stopped(self) -> bool:
        """Whether it ends unfinished because a user wants it to; one whose last cells were in training has finished."""
        return bool(self.stopped_by) and len(self.outcomes) < len(self.cells)

    @property
    def failed(self) -> int:
        """Cells that have failed."""
        return sum(outcome.failure is not None for outcome in self.outcomes.values())

    @property
    def failure(self) -> str | None:
        """Why its first failed cell failed."""
        return next((outcome.failure for outcome in self.outcomes.values() if outcome.failure is not None), None)

    @property
    def status(self) -> Status:
        """The status it ends with."""
        if self.failed:
            return "FAILED"
        return "KILLED" if self.left_out else "FINISHED"

    @property
    def value(self) -> float | None:
        """The objective: mean validation accuracy over all cells; None where one is missing or failed."""
        known = validation_accuracies(self.outcomes.values())
        return statistics.fmean(known) if known and len(known) == len(self.cells) else None

    @property
    def progress(self) -> str:
        """How many of its datasets are done, in words; for candidates."""
        return f"after {len(self.feedback.scores)} of {len({keyed.cell.dataset for keyed in self.cells})} datasets"

    def report(self) -> None:
        """Report the datasets that have become complete to whoever hears of this trial."""
        self.feedback.report(self.cells, self.outcomes)

    def has_shape(self, shape: str) -> bool:
        """Whether a pack of this shape (`dualpt.core.cell.pack_of`) waits for a worker."""
        return any(pack[0].shape == shape for pack in self.unassigned)
