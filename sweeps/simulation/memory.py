"""A ledger and a search in memory, with the interface that the dispatcher asks for: nothing is written."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from dualpt.core.config.setting import Setting
from dualpt.search_spaces.points import StartPoint
from dualpt.sweeps.records import CellRow, Kind, Status, TrialCell, TrialRef, TrialRow
from dualpt.sweeps.search import Proposal


class MemoryLedger:
    """Gives trials their references, and forgets the rest."""

    def experiment(self, name: str, description: str = "") -> str:
        return name

    def close_orphans(self, experiment_id: str) -> int:
        return 0

    def open_sweep(self, experiment_id: str, name: str) -> str:
        return name

    def trials(self, experiment_id: str) -> list[TrialRow]:
        return []

    def open_trial(
        self,
        experiment_id: str,
        sweep_run: str,
        sweep: str,
        name: str,
        kind: Kind,
        setting: Setting,
        *,
        new: bool = False,
        number: int | None = None,
    ) -> TrialRef:
        """One reference per name: a candidate that is taken up again finds its cells."""
        return TrialRef(experiment_id, name, sweep, name, kind, setting="")

    def trial_cells(self, trial: TrialRef) -> list[CellRow]:
        return []

    def close_trial(
        self, trial: TrialRef, status: Status, pruned: str | None = None, cells: Sequence[str] | None = None
    ) -> None:
        pass

    def stop_trial(self, trial: TrialRef, by: str) -> None:
        pass

    def mark_selected(self, experiment_id: str, name: str) -> None:
        pass

    def close(
        self,
        run_id: str,
        status: Status,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        pass

    def reuse(self, source_run_id: str, trial: TrialRef, keyed: TrialCell) -> str:
        return source_run_id

    def record_failure(self, trial: TrialRef, keyed: TrialCell, reason: str) -> str:
        return reason

    def finished_cells(self) -> dict[str, CellRow]:
        return {}


class ListedCandidates:
    """Candidates in a given order; what is reported of them is kept in memory."""

    def __init__(self, settings: Iterable[tuple[str, Setting]]) -> None:
        """
        Args:
            settings: names and settings, in the order in which they are proposed.
        """
        self._proposals = {
            name: Proposal(number, name, setting, None) for number, (name, setting) in enumerate(settings)
        }
        self._waiting = deque(self._proposals)
        self._values: dict[str, float] = {}
        self._pruned: dict[str, None] = {}

    @property
    def total(self) -> int:
        return len(self._proposals)

    def ask(self) -> Proposal | None:
        return self._proposals[self._waiting.popleft()] if self._waiting else None

    def report(self, proposal: Proposal, step: int, value: float) -> None:
        pass

    def tell(self, proposal: Proposal, value: float | None, failure: str | None = None) -> None:
        if value is not None:
            self._values[proposal.name] = value

    def prune(self, proposal: Proposal) -> None:
        self._pruned[proposal.name] = None

    def stop(self, proposal: Proposal) -> None:
        pass

    def enqueue(self, start: StartPoint) -> bool:
        return False

    def take_up(self, name: str) -> None:
        self._pruned.pop(name, None)
        self._waiting.appendleft(name)

    def pruned(self) -> list[str]:
        return list(self._pruned)

    def selected(self) -> list[Proposal]:
        if not self._values:
            return []
        return [self._proposals[max(self._values, key=lambda name: self._values[name])]]

    def judged(self) -> dict[str, float]:
        return dict(self._values)
