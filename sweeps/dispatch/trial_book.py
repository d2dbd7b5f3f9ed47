"""The state of a launch: which trials are open, and which of their cells are missing, out or done.

Knows neither the ledger nor Ray, and decides nothing.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from dualpt.sweeps.dispatch.open_trial import OpenTrial
from dualpt.sweeps.dispatch.search_feedback import TrialFeedback
from dualpt.sweeps.dispatch.work_units import Pack, WorkUnit
from dualpt.sweeps.planning.plan import TrialPlan, into_packs
from dualpt.sweeps.records import CellOutcome, TrialCell, TrialRef


@dataclass(frozen=True)
class UnitOut:
    """A work unit in training."""

    unit: WorkUnit
    owners: dict[str, OpenTrial]
    """The trial of each of its cells, by the cell's key."""

    @cached_property
    def trials(self) -> list[OpenTrial]:
        return list({id(trial): trial for trial in self.owners.values()}.values())

    def untrained(self) -> list[Pack]:
        """Its packs, as far as their cells have no outcome yet."""
        left = (tuple(c for c in pack if c.key not in self.owners[c.key].outcomes) for pack in self.unit.packs)
        return [pack for pack in left if pack]


class TrialBook:
    """Keeps the open trials and the work units in training."""

    def __init__(self) -> None:
        self._open: dict[str, OpenTrial] = {}
        """By run id, in the order in which they were opened."""
        self._ready: dict[str, OpenTrial] = {}
        """Those of them that may have packs to assign (`ready`)."""
        self._in_training: dict[str, list[OpenTrial]] = {}
        """Cells that an open trial has still to train, by key: the other trials that wait for them."""
        self._out: dict[int, UnitOut] = {}
        self._running: dict[str, None] = {}
        """Names of the trials that workers train."""
        self._opened = self._assigned = 0

    def open(self, plan: TrialPlan, ref: TrialRef, feedback: TrialFeedback, cells: Sequence[TrialCell]) -> OpenTrial:
        """Enter a trial; its first stage has yet to begin."""
        self._opened += 1
        trial = OpenTrial(self._opened, plan, ref, feedback, tuple(cells), deque(feedback.stages(cells)))
        self._open[ref.run_id] = trial
        return trial

    def close(self, trial: OpenTrial) -> None:
        """Strike a trial out."""
        del self._open[trial.ref.run_id]

    def named(self, name: str) -> OpenTrial | None:
        """The open trial of a name."""
        return next((trial for trial in self._open.values() if trial.plan.name == name), None)

    def withdraw(self, trial: OpenTrial) -> None:
        """Take back all of a trial that no worker has; others that waited for its cells train those themselves."""
        cells = [cell for pack in trial.unassigned for cell in pack]
        trial.unassigned.clear()
        trial.later.clear()
        for key in trial.awaited:
            self._in_training[key] = [other for other in self._in_training[key] if other is not trial]
        trial.awaited.clear()
        self._hand_over(cells)

    def _hand_over(self, cells: Iterable[TrialCell]) -> None:
        """Give cells that their trial leaves untrained to the first of those that wait for them."""
        taken: dict[str, list[TrialCell]] = {}
        still_waiting: dict[str, list[OpenTrial]] = {}
        for cell in cells:
            if waiting := self._in_training.pop(cell.key, []):
                taken.setdefault(waiting[0].ref.run_id, []).append(waiting[0].awaited.pop(cell.key))
                still_waiting[cell.key] = waiting[1:]
        for run_id, own in taken.items():
            self.enqueue(self._open[run_id], own)
        self._in_training.update(still_waiting)

    @property
    def open_run_ids(self) -> list[str]:
        return list(self._open)

    @property
    def unsettled(self) -> int:
        """Cells of open trials without an outcome."""
        return sum(len(trial.cells) - len(trial.outcomes) for trial in self._open.values())

    @property
    def searching(self) -> bool:
        """Whether a candidate is open."""
        return any(trial.is_candidate for trial in self._open.values())

    @property
    def running(self) -> list[str]:
        """Names of the trials that workers train."""
        return list(self._running)

    @property
    def idle(self) -> bool:
        """Whether no work unit is in training."""
        return not self._out

    def ready(self) -> list[OpenTrial]:
        """Open trials with packs to assign, the earliest first."""
        self._ready = {run_id: trial for run_id, trial in self._ready.items() if trial.unassigned}
        return sorted(self._ready.values(), key=lambda trial: trial.number)

    def awaits(self, trial: OpenTrial, cell: TrialCell) -> bool:
        """Let a trial wait for a cell if another open trial is about to train it; returns whether one is."""
        if cell.key not in self._in_training:
            return False
        trial.awaited[cell.key] = cell
        self._in_training[cell.key].append(trial)
        return True

    def enqueue(self, trial: OpenTrial, missing: Iterable[TrialCell]) -> None:
        """Add cells that a trial has to train."""
        cells = list(missing)
        self._in_training.update({cell.key: [] for cell in cells})
        trial.unassigned.extend(into_packs(cells))
        self._ready[trial.ref.run_id] = trial

    def settle(self, trial: OpenTrial, outcome: CellOutcome) -> list[tuple[OpenTrial, TrialCell]]:
        """Note what became of a cell; returns the trials that waited for it, each with its own cell."""
        trial.outcomes[outcome.key] = outcome
        waiting = self._in_training.pop(outcome.key, ())
        return [(other, other.awaited.pop(outcome.key)) for other in waiting]

    def assign(self, packs: Iterable[Pack]) -> WorkUnit:
        """Make a work unit of packs that have been taken from their trials."""
        self._assigned += 1
        unit = WorkUnit(self._assigned, tuple(packs))
        out = UnitOut(unit, {cell.key: self._open[cell.trial.run_id] for pack in unit.packs for cell in pack})
        self._out[unit.number] = out
        for trial in out.trials:
            trial.units_out += 1
            self._running[trial.plan.name] = None
        return unit

    def unit(self, number: int) -> UnitOut:
        return self._out[number]

    def end_unit(self, number: int) -> UnitOut:
        """Strike a work unit out; its trials still count it until `give_back`."""
        return self._out.pop(number)

    def give_back(self, out: UnitOut, left: Sequence[Pack]) -> None:
        """Return the packs that an ended work unit has left untrained to their trials, to be assigned first."""
        for pack in reversed(left):
            for trial in out.trials:
                own = tuple(cell for cell in pack if out.owners[cell.key] is trial)
                if own and trial.stopped_by:
                    self._hand_over(own)
                elif own:
                    trial.unassigned.appendleft(own)
        for trial in out.trials:
            trial.units_out -= 1
            if not trial.units_out:
                self._running.pop(trial.plan.name, None)
            if trial.unassigned:
                self._ready[trial.ref.run_id] = trial
