"""What dispatching asks of a ledger and of a search. The real stores answer it, and so does a simulation."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dualpt.core.config.setting import Setting
from dualpt.search_spaces.points import StartPoint
from dualpt.sweeps.records import CellRow, Kind, Status, TrialCell, TrialRef, TrialRow
from dualpt.sweeps.search import Proposal


class TrialLedger(Protocol):
    """Where trials and cells are recorded: `dualpt.sweeps.ledger.mlflow.Ledger`, which documents the methods."""

    def experiment(self, name: str, description: str = "") -> str: ...

    def close_orphans(self, experiment_id: str) -> int: ...

    def open_sweep(self, experiment_id: str, name: str) -> str: ...

    def trials(self, experiment_id: str) -> list[TrialRow]: ...

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
    ) -> TrialRef: ...

    def trial_cells(self, trial: TrialRef) -> list[CellRow]: ...

    def close_trial(
        self, trial: TrialRef, status: Status, pruned: str | None = None, cells: Sequence[str] | None = None
    ) -> None: ...

    def stop_trial(self, trial: TrialRef, by: str) -> None: ...

    def mark_selected(self, experiment_id: str, name: str) -> None: ...

    def close(
        self,
        run_id: str,
        status: Status,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None: ...

    def reuse(self, source_run_id: str, trial: TrialRef, keyed: TrialCell) -> str: ...

    def record_failure(self, trial: TrialRef, keyed: TrialCell, reason: str) -> str: ...

    def finished_cells(self) -> dict[str, CellRow]: ...


class CandidateSource(Protocol):
    """Where candidates come from: `dualpt.sweeps.search.Candidates`, which documents the methods."""

    @property
    def total(self) -> int: ...

    def ask(self) -> Proposal | None: ...

    def report(self, proposal: Proposal, step: int, value: float) -> None: ...

    def tell(self, proposal: Proposal, value: float | None, failure: str | None = None) -> None: ...

    def prune(self, proposal: Proposal) -> None: ...

    def stop(self, proposal: Proposal) -> None: ...

    def enqueue(self, start: StartPoint) -> bool: ...

    def take_up(self, name: str) -> None: ...

    def pruned(self) -> list[str]: ...

    def selected(self) -> list[Proposal]: ...

    def judged(self) -> dict[str, float]: ...


class NoCandidates:
    """Stands for the search of a sweep that has none: proposes nothing, so it never hears of a candidate."""

    total = 0

    def ask(self) -> Proposal | None:
        return None

    def report(self, proposal: Proposal, step: int, value: float) -> None:
        raise AssertionError("nothing was proposed")

    def tell(self, proposal: Proposal, value: float | None, failure: str | None = None) -> None:
        raise AssertionError("nothing was proposed")

    def prune(self, proposal: Proposal) -> None:
        raise AssertionError("nothing was proposed")

    def stop(self, proposal: Proposal) -> None:
        raise AssertionError("nothing was proposed")

    def enqueue(self, start: StartPoint) -> bool:
        return False

    def take_up(self, name: str) -> None:
        raise AssertionError("nothing was proposed")

    def pruned(self) -> list[str]:
        return []

    def selected(self) -> list[Proposal]:
        return []

    def judged(self) -> dict[str, float]:
        return {}


NO_CANDIDATES = NoCandidates()
