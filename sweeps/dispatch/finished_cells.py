"""Finished cells by key: this sweep's from the start, the rest of the store's when first asked for one it lacks."""

from collections.abc import Iterable, Mapping

from dualpt.sweeps.dispatch.interfaces import TrialLedger
from dualpt.sweeps.records import CellOutcome, CellRow, TrialRef, outcome_of


class FinishedCells:
    """Everything that is finished, so nothing is trained twice."""

    def __init__(self, ledger: TrialLedger, recorded: Iterable[CellRow]) -> None:
        """
        Args:
            recorded: the sweep's cells as the ledger holds them.
        """
        self._ledger = ledger
        self._by_trial: dict[str, dict[str, CellOutcome]] = {}
        self._by_key: dict[str, CellOutcome] = {}
        self._read_all = False
        for row in recorded:
            if row.finished:
                self.add(row.trial_run_id, outcome_of(row))

    def of(self, trial: TrialRef) -> Mapping[str, CellOutcome]:
        """The finished cells recorded under a trial, by key."""
        return self._by_trial.get(trial.run_id, {})

    def find(self, key: str) -> CellOutcome | None:
        """A finished cell anywhere in the store; None if there is none."""
        if key not in self._by_key and not self._read_all:
            self._read_all = True
            elsewhere = {key: outcome_of(row) for key, row in self._ledger.finished_cells().items()}
            self._by_key = {**elsewhere, **self._by_key}
        return self._by_key.get(key)

    def add(self, trial_run_id: str, outcome: CellOutcome) -> None:
        """Note a finished cell under a trial."""
        self._by_trial.setdefault(trial_run_id, {})[outcome.key] = outcome
        self._by_key[outcome.key] = outcome
