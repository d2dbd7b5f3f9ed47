"""What a launch does in the ledger: opens the sweep and its trials, reuses cells, records failures, closes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dualpt.search_spaces.sweep import SweepFile
from dualpt.sweeps.dispatch.finished_cells import FinishedCells
from dualpt.sweeps.dispatch.interfaces import TrialLedger
from dualpt.sweeps.planning.plan import TrialPlan
from dualpt.sweeps.records import (
    BEST_TAG,
    BEST_VALUE_TAG,
    CellOutcome,
    CellRow,
    Status,
    TrialCell,
    TrialRef,
    outcome_of,
)


class LedgerActions:
    """One sweep in the ledger, with everything that is finished there."""

    def __init__(self, ledger: TrialLedger, file: SweepFile, recorded: Sequence[CellRow]) -> None:
        """Open the sweep, and close what a killed launch left open.

        Args:
            recorded: the sweep's cells as the ledger holds them.
        """
        self._ledger, self._sweep = ledger, file.name
        self.experiment = ledger.experiment(file.name, file.description)
        ledger.close_orphans(self.experiment)
        self.sweep_run = ledger.open_sweep(self.experiment, file.name)
        self._cells = FinishedCells(ledger, recorded)
        trials = ledger.trials(self.experiment)
        self._names = {row.ref.name for row in trials}
        rows = [row for row in trials if row.status == "FINISHED" and not row.superseded]
        self._finished_trials = {row.ref.identity: row.ref for row in rows}
        self._new: set[str] = set()
        """Runs of open trials that no earlier launch has begun: all of their cells pass through here."""

    def open_trial(self, plan: TrialPlan, keys: Sequence[str]) -> TrialRef:
        """The trial's run: the finished one if it has all cells, else one that is opened, or opened again.

        Args:
            keys: of all its cells.
        """
        identity = plan.identity
        ref = self._finished_trials.get(identity)
        if ref is not None and all(key in self._cells.of(ref) for key in keys):
            return ref
        self._finished_trials.pop(identity, None)  # an extended trial has to be closed again
        new = plan.name not in self._names
        place = (self.experiment, self.sweep_run, self._sweep)
        ref = self._ledger.open_trial(*place, plan.name, plan.kind, plan.setting, new=new, number=plan.number)
        self._names.add(plan.name)
        if new:
            self._new.add(ref.run_id)
        return ref

    def finished_cells(self, trial: TrialRef) -> Mapping[str, CellOutcome]:
        """The finished cells recorded under a trial, by key."""
        return self._cells.of(trial)

    def reuse(self, cell: TrialCell) -> CellOutcome | None:
        """Copy a cell's result from wherever the store holds one; None if it holds none."""
        elsewhere = self._cells.find(cell.key)
        return None if elsewhere is None else self.copy(elsewhere, cell)

    def copy(self, outcome: CellOutcome, cell: TrialCell) -> CellOutcome:
        """Record another trial's result under this cell's trial."""
        copied = replace(outcome, run_id=self._ledger.reuse(outcome.run_id, cell.trial, cell))
        self._cells.add(cell.trial.run_id, copied)
        return copied

    def fail(self, cell: TrialCell, reason: str) -> CellOutcome:
        """Record a cell as failed."""
        return CellOutcome(cell.key, self._ledger.record_failure(cell.trial, cell, reason), None, reason)

    def remember(self, trial: TrialRef, outcome: CellOutcome) -> None:
        """Know a finished cell that a worker has recorded."""
        self._cells.add(trial.run_id, outcome)

    def recorded_now(self, trials: Iterable[TrialRef]) -> list[CellOutcome]:
        """Finished cells of these trials as the ledger holds them at this moment."""
        return [outcome_of(row) for trial in trials for row in self._ledger.trial_cells(trial) if row.finished]

    def close_trial(self, trial: TrialRef, status: Status, outcomes: Iterable[CellOutcome]) -> None:
        """Close a trial, unless it was found finished.

        Args:
            outcomes: what became of its cells.
        """
        if self._finished_trials.get(trial.identity) == trial:
            return
        cells = [outcome.run_id for outcome in outcomes] if trial.run_id in self._new else None
        self._ledger.close_trial(trial, status, cells=cells)
        self._new.discard(trial.run_id)

    def prune_trial(self, trial: TrialRef, done: str) -> None:
        """Close a trial that the race has given up; `done` says how far it was."""
        self._ledger.close_trial(trial, "KILLED", pruned=done)

    def stop_trial(self, trial: TrialRef, by: str) -> None:
        """Close a trial that a user has stopped."""
        self._ledger.stop_trial(trial, by)

    def stop_by_name(self, name: str, by: str) -> bool:
        """Mark a trial as stopped that isn't open and has not finished; returns whether there is one on record."""
        for row in self._ledger.trials(self.experiment):
            if row.ref.name == name and row.status != "FINISHED" and not row.superseded:
                self._ledger.stop_trial(row.ref, by)
                return True
        return False

    def close_sweep(
        self,
        open_run_ids: Iterable[str],
        status: Status,
        counts: Mapping[str, float],
        best: tuple[str, float] | None,
    ) -> None:
        """Close the sweep's run, and the trials and cells that an interruption or a kill leaves incomplete.

        Args:
            open_run_ids: runs of the trials that are still open.
            counts: metrics of the sweep's run.
            best: name and mean validation accuracy, in percent, of the best candidate.
        """
        for run_id in open_run_ids:
            self._ledger.close(run_id, "KILLED")
        self._ledger.close_orphans(self.experiment)
        tags = {}
        if best is not None:
            tags = {BEST_TAG: best[0], BEST_VALUE_TAG: str(best[1])}  # in full: who shows it rounds it
            self._ledger.mark_selected(self.experiment, best[0])
        self._ledger.close(self.sweep_run, status, counts, tags)
