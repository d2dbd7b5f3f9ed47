"""A trial from its first stage to its end: its cells are found or queued, and it is closed when nothing is left."""

from collections.abc import Callable, Container
from dataclasses import dataclass

from dualpt.core.cell import Cell
from dualpt.sweeps.dispatch.counts import Counts
from dualpt.sweeps.dispatch.ledger_actions import LedgerActions
from dualpt.sweeps.dispatch.open_trial import OpenTrial
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.search_feedback import TrialFeedback
from dualpt.sweeps.dispatch.trial_book import TrialBook
from dualpt.sweeps.planning.plan import TrialPlan
from dualpt.sweeps.records import CellOutcome, TrialCell


@dataclass
class TrialLifecycle:
    """Takes trials through their stages, in the book and in the ledger."""

    book: TrialBook
    ledger: LedgerActions
    counts: Counts
    progress: SweepProgress
    key: Callable[[Cell], str]
    """The cell key, `CellRunner.key`."""
    only: Container[str] | None = None
    """Keys of the only cells that may be trained; None is all."""

    def begin(self, plan: TrialPlan, feedback: TrialFeedback) -> OpenTrial:
        """Open a trial, with the cells of its first stage; it may be over at once."""
        keyed = [(cell, self.key(cell)) for cell in plan.cells]
        ref = self.ledger.open_trial(plan, [key for _, key in keyed])
        trial = self.book.open(plan, ref, feedback, [TrialCell(cell, key, ref) for cell, key in keyed])
        trial.counted = self.counts.take_up(plan.name)
        self._begin_stage(trial)
        self.advance(trial)
        return trial

    def record(self, trial: OpenTrial, outcome: CellOutcome) -> None:
        """Note a cell that was trained, and give its result to the trials that wait for it."""
        waiting = self.book.settle(trial, outcome)
        if outcome.failure is None:
            self.ledger.remember(trial.ref, outcome)
            self.counts.trained += 1
        else:
            self.counts.failed += 1
            self.progress.failure(trial.plan.name, outcome.failure)
        trial.report()
        for other, cell in waiting:
            self._share(other, cell, outcome)

    def fail(self, trial: OpenTrial, cell: TrialCell, reason: str) -> None:
        """Record a cell as failed that no worker could record."""
        self.record(trial, self.ledger.fail(cell, reason))

    def advance(self, trial: OpenTrial) -> None:
        """Begin stages while nothing is left to train; close the trial when it is complete, failed or given up."""
        while trial.stage_done:
            if trial.is_stopped:
                self._end_stopped(trial)
                return
            if not trial.later or trial.failed or trial.left_out:
                self._close(trial)
                return
            if not trial.feedback.goes_on():
                self._give_up(trial)
                return
            self._begin_stage(trial)

    def stop(self, trial: OpenTrial, by: str) -> None:
        """Start no further cell of a trial; it is over as soon as none of its cells is in training."""
        trial.stopped_by = by
        self.book.withdraw(trial)
        self.advance(trial)

    def stop_unopened(self, plan: TrialPlan, by: str) -> None:
        """Enter a trial that has not begun as stopped."""
        self.ledger.stop_trial(self.ledger.open_trial(plan, [self.key(cell) for cell in plan.cells]), by)
        self.counts.unreached += len(plan.cells)

    def _begin_stage(self, trial: OpenTrial) -> None:
        """Keep a stage's finished cells, copy those that the store holds elsewhere, queue the others."""
        own = self.ledger.finished_cells(trial.ref)
        missing = []
        for cell in trial.later.popleft():
            if cell.key in own:
                trial.outcomes[cell.key] = own[cell.key]
                self.counts.kept += cell.key not in trial.counted
            elif (copied := self.ledger.reuse(cell)) is not None:
                trial.outcomes[cell.key] = copied
                self.counts.reused += 1
            elif self.only is not None and cell.key not in self.only:
                trial.left_out = True
            elif not self.book.awaits(trial, cell):
                missing.append(cell)
        self.book.enqueue(trial, missing)
        trial.report()

    def _share(self, trial: OpenTrial, cell: TrialCell, outcome: CellOutcome) -> None:
        """Record a result under another trial that has the same cell."""
        if outcome.failure is None:
            trial.outcomes[cell.key] = self.ledger.copy(outcome, cell)
            self.counts.reused += 1
        else:
            trial.outcomes[cell.key] = self.ledger.fail(cell, outcome.failure)
            self.counts.failed += 1
        trial.report()
        self.advance(trial)

    def _give_up(self, trial: OpenTrial) -> None:
        """End a trial unfinished: the ledger first, so a kill in between leaves one that is decided on again."""
        self.book.close(trial)
        self.ledger.prune_trial(trial.ref, trial.progress)
        trial.feedback.give_up()
        self.counts.give_up(trial.plan.name, frozenset(trial.outcomes))

    def _end_stopped(self, trial: OpenTrial) -> None:
        """End a trial that a user has stopped: the ledger first, which every later launch goes by."""
        self.book.close(trial)
        self.ledger.stop_trial(trial.ref, trial.stopped_by)
        trial.feedback.stop()
        self.counts.unreached += len(trial.cells) - len(trial.outcomes)

    def _close(self, trial: OpenTrial) -> None:
        """End a trial: the ledger first, so a kill in between leaves a candidate that is merely reported again."""
        self.book.close(trial)
        self.counts.unreached += sum(map(len, trial.later)) if trial.failed else 0
        self.ledger.close_trial(trial.ref, trial.status, trial.outcomes.values())
        trial.feedback.finish(trial.value, trial.failure)
