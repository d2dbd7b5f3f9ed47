"""The driver's book: which cells are missing, who trains them next, and when a trial is over. Knows no Ray.

Work is dealt in shards: some packs of one trial. All free workers share the packs of one trial before the next trial
begins, so that a search learns from each candidate as early as possible and no worker idles at the end.

Order: baselines, candidates, and, when every candidate is judged, the selected setting over the whole grid.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from core.cells import Cell
from search_spaces.sweep_file import LoadedSweep
from sweeps.plan import Pack, SweepPlan, TrialPlan, grid_cells, into_packs, judged_cells
from sweeps.progress import SweepProgress
from sweeps.records import BEST_TAG, BEST_VALUE_TAG, CellRow, KeyedCell, Status, TrialRef, setting_hash
from sweeps.search import Candidates, Proposal
from sweeps.shards import CellOutcome, OpenTrial, Shard, outcome_of
from sweeps.tracking import Ledger

MOST_DEATHS = 2
"""A pack that is being trained when a worker process dies so often is recorded as failed."""


@dataclass
class Tally:
    """Cells of this launch."""

    trained: int = 0
    reused: int = 0
    """Copied from another sweep or trial of the store."""
    kept: int = 0
    """Finished by earlier launches of this sweep."""
    failed: int = 0

    @property
    def finished(self) -> int:
        return self.trained + self.reused + self.kept


class Dealer:
    """Deals shards, books outcomes, and closes trials."""

    def __init__(
        self,
        sweep: LoadedSweep,
        plan: SweepPlan,
        candidates: Candidates | None,
        ledger: Ledger,
        recorded: Sequence[CellRow],
        key: Callable[[Cell], str],
        progress: SweepProgress,
    ) -> None:
        """Open the sweep in the ledger, and close what a killed launch left open there.

        Args:
            recorded: the sweep's cells as the ledger holds them.
            key: the cell key, `Bench.key`.
        """
        self.tally = Tally()
        self.workers = 1
        """Among how many workers the packs of a trial are shared."""
        self.draining = False
        """Set to deal nothing more."""
        self.only: frozenset[str] | None = None
        """Keys of the only cells that may be trained; None is all."""
        self._sweep, self._plan, self._candidates = sweep, plan, candidates
        self._ledger, self._key, self._progress = ledger, key, progress
        self.experiment = ledger.experiment(sweep.file.name, sweep.file.description)
        ledger.close_orphans(self.experiment)
        self.sweep_run = ledger.open_sweep(self.experiment, sweep.file.name)
        self._known = KnownCells(ledger, recorded)
        self._trials = {row.ref: row.status for row in ledger.trials(self.experiment) if not row.superseded}
        self._baselines = deque(plan.baselines)
        self._all_asked = candidates is None
        self._final: deque[TrialPlan] | None = None
        self._open: list[OpenTrial] = []
        self._out: dict[int, tuple[OpenTrial, Shard]] = {}
        self._dealt = 0
        self._judged = {} if candidates is None else candidates.judged()
        self.tally.kept = sum(row.finished and row.kind == "search" and row.trial in self._judged for row in recorded)

    def drain(self) -> None:
        """Deal nothing more; packs in training are finished."""
        self.draining = True
        self._progress.note("finishing the packs in training; press Ctrl-C again to abort them")

    @property
    def best(self) -> tuple[str, float] | None:
        """Name and mean validation accuracy, in percent, of the best candidate so far."""
        return max(self._judged.items(), key=lambda judged: judged[1], default=None)

    @property
    def idle(self) -> bool:
        """Whether no shard is being trained."""
        return not self._out

    def has_work(self) -> bool:
        """Open trials until one has a cell to train. False when there is none now, or none at all.

        Trials whose cells are all in the ledger are closed on the way, without any worker.
        """
        while not any(trial.undealt for trial in self._open):
            following = self._following()
            if following is None:
                return False
            self._begin(*following)
        return True

    def deal(self) -> Shard | None:
        """The next shard. None when nothing can be given: for now, or, when also `idle`, for good."""
        if self.draining or not self.has_work():
            return None
        trial = next(trial for trial in self._open if trial.undealt)
        size = math.ceil(len(trial.undealt) / self.workers)
        self._dealt += 1
        shard = Shard(self._dealt, trial.ref, tuple(trial.undealt.popleft() for _ in range(size)))
        self._out[shard.number] = (trial, shard)
        trial.shards_out += 1
        self._show()
        return shard

    def book(self, number: int, outcomes: Iterable[CellOutcome]) -> None:
        """Note cells that a worker has recorded; telling the same cell twice is harmless."""
        trial, _ = self._out[number]
        for outcome in outcomes:
            if outcome.key not in trial.outcomes:
                self._note(trial, outcome)
        self._show()

    def recover(self, number: int) -> None:
        """Book what a lost worker recorded and could not report any more."""
        trial, shard = self._out[number]
        dealt = {cell.key for pack in shard.packs for cell in pack}
        there = [row for row in self._ledger.trial_cells(trial.ref) if row.finished and row.key in dealt]
        self.book(number, map(outcome_of, there))

    def take_back(self, number: int, *, died: bool = False) -> None:
        """End a shard. What it leaves untrained is dealt again, unless workers keep dying over it.

        Args:
            died: whether the worker process died, or failed outside of any pack.
        """
        trial, shard = self._out.pop(number)
        trial.shards_out -= 1
        left = [pack for whole in shard.packs if (pack := trial.missing(whole))]
        if died and left:
            suspect = left[0][0].key
            trial.deaths[suspect] += 1
            if trial.deaths[suspect] >= MOST_DEATHS:
                self._give_up(trial, left.pop(0))
        trial.undealt.extendleft(reversed(left))
        if trial.over:
            self._close(trial)
        self._show()

    def end(self, *, interrupted: bool) -> None:
        """Close the sweep's run, and the trials and cells that an interruption or a kill leaves incomplete."""
        for trial in self._open:
            self._ledger.close(trial.ref.run_id, "KILLED")
        self._ledger.close_orphans(self.experiment)
        tally = self.tally
        counts = {"cells/finished": tally.finished, "cells/failed": tally.failed, "cells/trained": tally.trained}
        tags = {} if self.best is None else {BEST_TAG: self.best[0], BEST_VALUE_TAG: f"{self.best[1]:.2f}"}
        status: Status = "KILLED" if interrupted else "FAILED" if tally.failed else "FINISHED"
        self._ledger.close(self.sweep_run, status, {name: float(n) for name, n in counts.items()}, tags)

    @property
    def total(self) -> int:
        """Cells of the sweep as far as is known."""
        plan = self._plan
        candidates = plan.candidates if self._candidates is None else self._candidates.total
        return replace(plan, candidates=candidates).cells

    def _following(self) -> tuple[TrialPlan, Proposal | None] | None:
        """The next trial; None when there is none, or when the selection waits for candidates in training."""
        if self._baselines:
            return self._baselines.popleft(), None
        if not self._all_asked and self._candidates is not None:
            proposal = self._candidates.ask()
            if proposal is not None:
                cells = judged_cells(self._sweep, proposal.setting, proposal.shots)
                return TrialPlan(proposal.name, "search", proposal.setting, cells), proposal
            self._all_asked = True
        if any(trial.plan.kind == "search" for trial in self._open):
            return None
        if self._final is None:
            self._final = deque(self._final_plans())
        return (self._final.popleft(), None) if self._final else None

    def _final_plans(self) -> Iterator[TrialPlan]:
        """The selected setting over the whole grid; with searched shots, each of the Pareto front at its shots."""
        for proposal in [] if self._candidates is None else self._candidates.selected():
            name = "best" if proposal.shots is None else f"best-{proposal.shots}-shot"
            yield TrialPlan(name, "best", proposal.setting, grid_cells(self._sweep, proposal.setting, proposal.shots))

    def _begin(self, plan: TrialPlan, proposal: Proposal | None) -> None:
        """Open a trial: keep its finished cells, copy those that the store holds elsewhere, queue the others."""
        keyed = [KeyedCell(cell, self._key(cell)) for cell in plan.cells]
        trial = OpenTrial(plan, self._reference(plan, keyed), proposal)
        own = self._known.of(trial.ref)
        in_training = {key for other in self._open for key in other.untrained}
        missing = []
        for cell in keyed:
            if cell.key in own:
                trial.outcomes[cell.key] = own[cell.key]
                self.tally.kept += 1
            elif (elsewhere := self._known.find(cell.key)) is not None:
                run_id = self._ledger.reuse(elsewhere.run_id, trial.ref, cell)
                trial.outcomes[cell.key] = replace(elsewhere, run_id=run_id)
                self.tally.reused += 1
            elif self.only is not None and cell.key not in self.only:
                trial.left_out = True
            elif cell.key in in_training:
                trial.awaited[cell.key] = cell
            else:
                missing.append(cell)
        trial.untrained = {cell.key for cell in missing}
        trial.undealt.extend(into_packs(missing))
        self._open.append(trial)
        if trial.over:
            self._close(trial)
        self._show()

    def _reference(self, plan: TrialPlan, keyed: Sequence[KeyedCell]) -> TrialRef:
        """The trial's run: as it stands where it is complete, else opened."""
        wanted = setting_hash(plan.setting)
        for ref, status in self._trials.items():
            if (ref.name, ref.kind, ref.setting, status) == (plan.name, plan.kind, wanted, "FINISHED"):
                finished = self._known.of(ref)
                if all(cell.key in finished for cell in keyed):
                    return ref
        file = self._sweep.file
        return self._ledger.open_trial(self.experiment, self.sweep_run, file.name, plan.name, plan.kind, plan.setting)

    def _note(self, trial: OpenTrial, outcome: CellOutcome) -> None:
        """Book a cell that was trained, and give it to the trials that wait for it."""
        trial.outcomes[outcome.key] = outcome
        trial.untrained.discard(outcome.key)
        if outcome.failure is None:
            self._known.add(outcome)
            self.tally.trained += 1
        else:
            self.tally.failed += 1
            self._progress.failure(trial.plan.name, outcome.failure)
        for waiting in [other for other in self._open if outcome.key in other.awaited]:
            self._share(waiting, waiting.awaited.pop(outcome.key), outcome)

    def _share(self, trial: OpenTrial, cell: KeyedCell, outcome: CellOutcome) -> None:
        if outcome.failure is None:
            run_id = self._ledger.reuse(outcome.run_id, trial.ref, cell)
            self.tally.reused += 1
        else:
            run_id = self._ledger.record_failure(trial.ref, cell, outcome.failure)
            self.tally.failed += 1
        trial.outcomes[cell.key] = replace(outcome, run_id=run_id)
        if trial.over:
            self._close(trial)

    def _give_up(self, trial: OpenTrial, pack: Pack) -> None:
        reason = f"the worker process died {MOST_DEATHS} times while training this cell; is it out of memory?"
        for cell in pack:
            run_id = self._ledger.record_failure(trial.ref, cell, reason)
            self._note(trial, CellOutcome(cell.key, run_id, None, reason))

    def _close(self, trial: OpenTrial) -> None:
        """End a trial: the ledger first, so that a kill in between leaves a candidate that is merely told again."""
        self._open.remove(trial)
        if self._trials.get(trial.ref) != "FINISHED":
            self._ledger.close_trial(trial.ref, trial.status)
        if trial.proposal is not None and self._candidates is not None:
            self._candidates.tell(trial.proposal, trial.value)
            if trial.value is not None:
                self._judged[trial.plan.name] = trial.value

    def _show(self) -> None:
        running = list(dict.fromkeys(trial.plan.name for trial, _ in self._out.values()))
        self._progress.show(self.tally, self.total, running, self.best)


class KnownCells:
    """Finished cells by key: of this sweep at once, of the whole store when first asked for a cell it lacks."""

    def __init__(self, ledger: Ledger, recorded: Iterable[CellRow]) -> None:
        self._ledger = ledger
        self._own: dict[str, dict[str, CellOutcome]] = {}
        self._by_key: dict[str, CellOutcome] = {}
        self._read_all = False
        for row in recorded:
            if row.finished:
                self._own.setdefault(row.trial_run_id, {})[row.key] = outcome_of(row)
                self.add(outcome_of(row))

    def of(self, trial: TrialRef) -> dict[str, CellOutcome]:
        """The finished cells recorded under a trial before this launch."""
        return self._own.get(trial.run_id, {})

    def find(self, key: str) -> CellOutcome | None:
        """A finished cell anywhere in the store."""
        if key not in self._by_key and not self._read_all:
            self._read_all = True
            elsewhere = {key: outcome_of(row) for key, row in self._ledger.finished_cells().items()}
            self._by_key = {**elsewhere, **self._by_key}
        return self._by_key.get(key)

    def add(self, outcome: CellOutcome) -> None:
        self._by_key[outcome.key] = outcome
