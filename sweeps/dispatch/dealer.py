"""The driver's book: which cells are missing, who trains them next, and when a trial is over. Knows no Ray.

Work is dealt in shards: some packs of one trial, which several candidates, or variants of a study, of equal shape may
share. All free workers share the packs of one trial before the next trial begins, so that a search learns from each
candidate as early as possible and no worker idles at the end. In a race a candidate's cells come in stages, and it is
decided before each whether the candidate goes on.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dualpt.core.cell import Cell
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.contest import Contest
from dualpt.sweeps.dispatch.interfaces import CandidateSource, TrialBook
from dualpt.sweeps.dispatch.known_cells import KnownCells
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.shards import OpenTrial, Pack, Shard, settings_per_pack, stages
from dualpt.sweeps.dispatch.shared_packs import MOST_DEATHS, Suspects, has_shape, join
from dualpt.sweeps.dispatch.tally import Tally
from dualpt.sweeps.dispatch.trial_queue import TrialQueue
from dualpt.sweeps.planning.plan import SweepPlan, TrialPlan, into_packs, judged_cells
from dualpt.sweeps.racing import Race
from dualpt.sweeps.records import (
    BEST_TAG,
    BEST_VALUE_TAG,
    CellOutcome,
    CellRow,
    DealtCell,
    Status,
    TrialRef,
    outcome_of,
    setting_hash,
)
from dualpt.sweeps.search import Proposal


@dataclass(frozen=True)
class _Out:
    """A shard in training."""

    shard: Shard
    owners: dict[str, OpenTrial]
    """The trial of each of its cells, by key."""

    @cached_property
    def trials(self) -> list[OpenTrial]:
        return list({id(trial): trial for trial in self.owners.values()}.values())


class Dealer:
    """Deals shards, books outcomes, and closes trials."""

    def __init__(
        self,
        sweep: LoadedSweep,
        plan: SweepPlan,
        candidates: CandidateSource | None,
        ledger: TrialBook,
        recorded: Sequence[CellRow],
        key: Callable[[Cell], str],
        progress: SweepProgress,
        race: Race | None = None,
        on_selection: Callable[[Sequence[TrialPlan]], None] | None = None,
    ) -> None:
        """Open the sweep in the ledger, and close what a killed launch left open there.

        Args:
            recorded: the sweep's cells as the ledger holds them.
            key: the cell key, `CellRunner.key`.
            race: decides which candidates go on; None judges all of them whole.
            on_selection: called once with the trials that the search has selected, before they are opened.
        """
        self.tally = Tally()
        self.workers = 1
        """Among how many workers the packs of a trial are shared."""
        self.settings_per_pack = 1
        """How many candidates, or variants, may share the steps of a pack."""
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
        rows = [row for row in ledger.trials(self.experiment) if row.status == "FINISHED" and not row.superseded]
        self._finished = {row.ref.identity: row.ref for row in rows}
        self._queue = TrialQueue(sweep, plan, candidates, race, on_selection)
        self._open: dict[str, OpenTrial] = {}
        """By run id, in the order in which they were opened."""
        self._ready: dict[str, OpenTrial] = {}
        """Those of them that may have packs to deal (`_waiting`)."""
        self._in_training: dict[str, list[OpenTrial]] = {}
        """Cells that an open trial has still to train, by key: the other trials that wait for them."""
        self._running: dict[str, None] = {}
        """Names of the trials that workers train."""
        self._out: dict[int, _Out] = {}
        self._dealt = self._opened = 0
        self._suspects = Suspects()
        self._contest: Contest | None = None
        if candidates is not None:
            self._contest = Contest(candidates, race, self.tally)
            self._contest.recall(judged_cells(sweep, sweep.reference), recorded)

    def drain(self) -> None:
        """Deal nothing more; packs in training are finished."""
        self.draining = True
        self._progress.note("finishing the packs in training; press Ctrl-C again to abort them")

    def wanted_per_pack(self, on_gpu: bool) -> int:
        """How many settings are to share a pack, as the file asks for and the workers' devices suggest.

        Candidates, where there is a search; else variants and baselines.
        """
        search, grid = self._sweep.file.search, self._sweep.file.grid
        if search is None:
            return settings_per_pack(self._sweep.pack, len(grid.seeds), on_gpu)
        return settings_per_pack(search.pack, len(search.seeds or grid.seeds), on_gpu)

    @property
    def best(self) -> tuple[str, float] | None:
        """Name and mean validation accuracy, in percent, of the best candidate so far."""
        return None if self._contest is None else self._contest.best

    @property
    def idle(self) -> bool:
        """Whether no shard is being trained."""
        return not self._out

    def has_work(self) -> bool:
        """Open trials until one has a cell to train. False when there is none now, or none at all.

        Trials whose cells are all in the ledger are closed on the way, without any worker.
        """
        while not self._waiting():
            following = self._queue.following(searching=self._searching)
            if following is None:
                return False
            self._begin(*following)
        return True

    def deal(self) -> Shard | None:
        """The next shard. None when nothing can be given: for now, or, when also `idle`, for good."""
        if self.draining or not self.has_work():
            return None
        trial = self._waiting()[0]
        self._open_partners(trial)
        size = math.ceil(len(trial.undealt) / self.workers)
        self._dealt += 1
        shard = Shard(self._dealt, tuple(self._joined(trial, trial.undealt.popleft()) for _ in range(size)))
        out = _Out(shard, {cell.key: self._open[cell.trial.run_id] for pack in shard.packs for cell in pack})
        self._out[shard.number] = out
        for sharing in out.trials:
            sharing.shards_out += 1
            self._running[sharing.plan.name] = None
        self._show()
        return shard

    def book(self, number: int, outcomes: Iterable[CellOutcome]) -> None:
        """Note cells that a worker has recorded; telling the same cell twice is harmless."""
        owners = self._out[number].owners
        for outcome in outcomes:
            if outcome.key not in owners[outcome.key].outcomes:
                self._note(owners[outcome.key], outcome)
        self._show()

    def recover(self, number: int) -> None:
        """Book what a lost worker recorded and could not report any more."""
        out = self._out[number]
        rows = [row for trial in out.trials for row in self._ledger.trial_cells(trial.ref)]
        self.book(number, [outcome_of(row) for row in rows if row.finished and row.key in out.owners])

    def take_back(self, number: int, *, died: bool = False) -> None:
        """End a shard. What it leaves untrained is dealt again, unless workers keep dying over it.

        A pack over which a worker died is dealt in parts: only the guilty setting is to fail.

        Args:
            died: whether the worker process died, or failed outside of any pack.
        """
        out = self._out.pop(number)
        left = [pack for whole in out.shard.packs if (pack := self._untrained(out, whole))]
        if died and left:
            left = [*self._after_death(out, left[0]), *left[1:]]
        for pack in reversed(left):
            for trial in out.trials:
                if own := tuple(cell for cell in pack if out.owners[cell.key] is trial):
                    trial.undealt.appendleft(own)
        for trial in out.trials:
            trial.shards_out -= 1
            if not trial.shards_out:
                self._running.pop(trial.plan.name, None)
            if trial.undealt:
                self._ready[trial.ref.run_id] = trial
            if trial.staged:
                self._go_on(trial)
        self._show()

    def end(self, *, interrupted: bool) -> None:
        """Close the sweep's run, and the trials and cells that an interruption or a kill leaves incomplete."""
        for run_id in self._open:
            self._ledger.close(run_id, "KILLED")
        self._ledger.close_orphans(self.experiment)
        tally = self.tally
        counts = {"cells/finished": tally.finished, "cells/failed": tally.failed, "cells/trained": tally.trained}
        if self._contest is not None and self._contest.races:
            counts["trials/pruned"] = tally.pruned
        tags = {}
        if self.best is not None:
            tags = {BEST_TAG: self.best[0], BEST_VALUE_TAG: f"{self.best[1]:.2f}"}
            self._ledger.mark_selected(self.experiment, self.best[0])
        status: Status = "KILLED" if interrupted else "FAILED" if tally.failed else "FINISHED"
        self._ledger.close(self.sweep_run, status, {name: float(n) for name, n in counts.items()}, tags)

    @property
    def complete(self) -> bool:
        """Whether every cell is done, or on record as failed."""
        return self.tally.finished + self.tally.failed >= self.total

    @property
    def total(self) -> int:
        """Cells of the sweep as far as is known: without those whose turn never comes."""
        plan = self._plan
        candidates = plan.candidates if self._candidates is None else self._candidates.total
        best = 0 if self._queue.selects_nothing else plan.best_cells
        known = replace(plan, candidates=candidates, best_cells=best).cells
        return known - self.tally.skipped(plan.candidate_cells)

    @property
    def _searching(self) -> bool:
        """Whether a candidate is in training."""
        return any(trial.plan.kind == "search" for trial in self._open.values())

    def _waiting(self) -> list[OpenTrial]:
        """Open trials with packs to deal, the earliest first; others are taken off the list on the way."""
        self._ready = {run_id: trial for run_id, trial in self._ready.items() if trial.undealt}
        return sorted(self._ready.values(), key=lambda trial: trial.number)

    def _begin(self, plan: TrialPlan, proposal: Proposal | None) -> OpenTrial:
        """Open a trial, with the cells of its first stage; it may be over at once."""
        keyed = [(cell, self._key(cell)) for cell in plan.cells]
        ref = self._reference(plan, [key for _, key in keyed])
        cells = tuple(DealtCell(cell, key, ref) for cell, key in keyed)
        decisions = self._contest.decisions if self._contest is not None else ()
        later = deque(stages(cells, decisions)) if proposal is not None else deque([cells])
        self._opened += 1
        trial = OpenTrial(self._opened, plan, ref, proposal, cells, later)
        if self._contest is not None:
            self._contest.take_up(trial)
        self._open[ref.run_id] = trial
        self._begin_stage(trial)
        if trial.staged:
            self._go_on(trial)
        self._show()
        return trial

    def _begin_stage(self, trial: OpenTrial) -> None:
        """Keep a stage's finished cells, copy those that the store holds elsewhere, queue the others."""
        own = self._known.of(trial.ref)
        missing = []
        for cell in trial.later.popleft():
            if cell.key in own:
                trial.outcomes[cell.key] = own[cell.key]
                self.tally.kept += cell.key not in trial.counted
            elif (elsewhere := self._known.find(cell.key)) is not None:
                run_id = self._ledger.reuse(elsewhere.run_id, trial.ref, cell)
                trial.outcomes[cell.key] = replace(elsewhere, run_id=run_id)
                self._known.add(trial.ref.run_id, trial.outcomes[cell.key])
                self.tally.reused += 1
            elif self.only is not None and cell.key not in self.only:
                trial.left_out = True
            elif cell.key in self._in_training:
                trial.awaited[cell.key] = cell
                self._in_training[cell.key].append(trial)
            else:
                missing.append(cell)
        self._in_training.update({cell.key: [] for cell in missing})
        trial.undealt.extend(into_packs(missing))
        self._ready[trial.ref.run_id] = trial
        self._score(trial)

    def _go_on(self, trial: OpenTrial) -> None:
        """Begin the stages of a trial while nothing is left to train; close it when it is whole, failed or given up."""
        while trial.staged:
            if not trial.later or trial.failed or trial.left_out:
                self._close(trial)
                return
            if self._contest is not None and not self._contest.goes_on(trial):
                self._give_up(trial)
                return
            self._begin_stage(trial)

    def _score(self, trial: OpenTrial) -> None:
        if self._contest is not None:
            self._contest.score(trial)

    def _open_partners(self, trial: OpenTrial) -> None:
        """Begin as many trials as may share the steps of one that begins.

        Candidates are asked for ahead until one has another shape. They are proposed without knowing how the others
        do, so that no more wait, of whatever shape, than a pack holds: else a search would not learn.
        """
        if trial.scores or not self._shares(trial):
            return
        shape = trial.undealt[0][0].shape
        while sum(map(self._shares, self._waiting())) < self.settings_per_pack:
            following = self._queue.partner(trial.plan, searching=self._searching)
            if following is None:
                return
            opened = self._begin(*following)
            if trial.proposal is not None and opened.undealt and not has_shape(opened, shape):
                return

    def _shares(self, trial: OpenTrial) -> bool:
        """Whether it may share packs; beside a search only candidates may, since its number counts theirs."""
        return self.settings_per_pack > 1 and (trial.proposal is not None or self._candidates is None)

    def _joined(self, trial: OpenTrial, pack: Pack) -> Pack:
        """A pack with those of other trials that may train in the same steps."""
        if not self._shares(trial):
            return pack
        others = (other for other in self._waiting() if other is not trial and self._shares(other))
        return join(pack, others, settings=self.settings_per_pack, suspects=self._suspects)

    @staticmethod
    def _untrained(out: _Out, pack: Pack) -> Pack:
        """The cells of a pack that have no outcome yet."""
        return tuple(cell for cell in pack if cell.key not in out.owners[cell.key].outcomes)

    def _after_death(self, out: _Out, suspect: Pack) -> list[Pack]:
        """What is dealt again of the pack that a worker died over; cells tried twice already are recorded as failed."""
        blamed, parts = self._suspects.after_death(suspect)
        reason = f"the worker process died {MOST_DEATHS} times while training this cell; is it out of memory?"
        for cell in blamed:
            run_id = self._ledger.record_failure(cell.trial, cell, reason)
            self._note(out.owners[cell.key], CellOutcome(cell.key, run_id, None, reason))
        return parts

    def _reference(self, plan: TrialPlan, keys: Sequence[str]) -> TrialRef:
        """The trial's run: as it stands where it is complete, else opened."""
        identity = (plan.name, plan.kind, setting_hash(plan.setting))
        ref = self._finished.get(identity)
        if ref is not None and all(key in self._known.of(ref) for key in keys):
            return ref
        self._finished.pop(identity, None)  # an extended trial is to be closed anew
        file = self._sweep.file
        return self._ledger.open_trial(self.experiment, self.sweep_run, file.name, plan.name, plan.kind, plan.setting)

    def _note(self, trial: OpenTrial, outcome: CellOutcome) -> None:
        """Book a cell that was trained, and give it to the trials that wait for it."""
        trial.outcomes[outcome.key] = outcome
        if outcome.failure is None:
            self._known.add(trial.ref.run_id, outcome)
            self.tally.trained += 1
        else:
            self.tally.failed += 1
            self._progress.failure(trial.plan.name, outcome.failure)
        self._score(trial)
        for waiting in self._in_training.pop(outcome.key, ()):
            self._share(waiting, waiting.awaited.pop(outcome.key), outcome)

    def _share(self, trial: OpenTrial, cell: DealtCell, outcome: CellOutcome) -> None:
        if outcome.failure is None:
            run_id = self._ledger.reuse(outcome.run_id, trial.ref, cell)
            self._known.add(trial.ref.run_id, replace(outcome, run_id=run_id))
            self.tally.reused += 1
        else:
            run_id = self._ledger.record_failure(trial.ref, cell, outcome.failure)
            self.tally.failed += 1
        trial.outcomes[cell.key] = replace(outcome, run_id=run_id)
        self._score(trial)
        if trial.staged:
            self._go_on(trial)

    def _give_up(self, trial: OpenTrial) -> None:
        """End a trial unfinished: the ledger first, so that a kill in between leaves one that is decided again."""
        del self._open[trial.ref.run_id]
        done = f"after {len(trial.scores)} of {len(trial.by_dataset)} datasets"
        self._ledger.close_trial(trial.ref, "KILLED", pruned=done)
        assert self._contest is not None
        self._contest.give_up(trial)

    def _close(self, trial: OpenTrial) -> None:
        """End a trial: the ledger first, so that a kill in between leaves a candidate that is merely told again."""
        del self._open[trial.ref.run_id]
        self.tally.unreached += sum(map(len, trial.later)) if trial.failed else 0
        if self._finished.get(trial.ref.identity) != trial.ref:
            self._ledger.close_trial(trial.ref, trial.status)
        if self._contest is not None:
            self._contest.tell(trial)

    def _show(self) -> None:
        self._progress.show(self.tally, self.total, list(self._running), self.best)
