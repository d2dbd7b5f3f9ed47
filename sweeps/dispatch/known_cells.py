"""Finished cells by key: of this sweep at once, of the whole store when first asked for a cell it lacks."""

from collections.abc import Iterable

from dualpt.sweeps.dispatch.interfaces import TrialBook
from dualpt.sweeps.records import CellOutcome, CellRow, TrialRef, outcome_of


class KnownCells:
    """What is finished, so that nothing is trained twice."""

    def __init__(self, ledger: TrialBook, recorded: Iterable[CellRow]) -> None:
        """
        Args:
            recorded: the sweep's cells as the ledger holds them.
        """
        self._ledger = ledger
        self._own: dict[str, dict[str, CellOutcome]] = {}
        self._by_key: dict[str, CellOutcome] = {}
        self._read_all = False
        for row in recorded:
            if row.finished:
                self.add(row.trial_run_id, outcome_of(row))

    def of(self, trial: TrialRef) -> dict[str, CellOutcome]:
        """The finished cells recorded under a trial."""
        return self._own.get(trial.run_id, {})

    def find(self, key: str) -> CellOutcome | None:
        """A finished cell anywhere in the store."""
        if key not in self._by_key and not self._read_all:
            self._read_all = True
            elsewhere = {key: outcome_of(row) for key, row in self._ledger.finished_cells().items()}
            self._by_key = {**elsewhere, **self._by_key}
        return self._by_key.get(key)

    def add(self, trial_run_id: str, outcome: CellOutcome) -> None:
        """Note a finished cell under a trial."""
        self._own.setdefault(trial_run_id, {})[outcome.key] = outcome
        self._by_key[outcome.key] = outcome
