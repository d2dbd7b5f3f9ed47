"""Hands work units to workers, and takes in what became of them. Knows no Ray.

A work unit holds some packs of one trial, which several candidates, or variants of a study, of equal shape may share.
All free workers share the packs of one trial before the next trial begins: a search learns from each candidate as early
as possible, and no worker idles at the end. In a race a candidate's cells come in stages, and before each it is decided
whether the candidate goes on.
"""

import math
from collections.abc import Callable, Container, Iterable, Sequence, Set
from dataclasses import replace

from dualpt.core.cell import Cell
from dualpt.search_spaces.points import StartPoint, resolve
from dualpt.search_spaces.start_points import start_point
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.counts import Counts
from dualpt.sweeps.dispatch.interfaces import NO_CANDIDATES, CandidateSource, TrialLedger
from dualpt.sweeps.dispatch.ledger_actions import LedgerActions
from dualpt.sweeps.dispatch.open_trial import OpenTrial
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.search_feedback import SearchLoop
from dualpt.sweeps.dispatch.shared_packs import MOST_DEATHS, Suspects, join, settings_per_pack
from dualpt.sweeps.dispatch.trial_book import TrialBook, UnitOut
from dualpt.sweeps.dispatch.trial_lifecycle import TrialLifecycle
from dualpt.sweeps.dispatch.trial_queue import TrialQueue
from dualpt.sweeps.dispatch.work_units import Pack, WorkUnit
from dualpt.sweeps.planning.plan import SweepPlan, TrialPlan, judged_cells
from dualpt.sweeps.racing import NO_RACE, Race
from dualpt.sweeps.records import CellOutcome, CellRow, Status, TrialRef


class Dispatcher:
    """Assigns work units, takes in outcomes, and closes the sweep."""

    def __init__(
        self,
        sweep: LoadedSweep,
        plan: SweepPlan,
        ledger: TrialLedger,
        recorded: Sequence[CellRow],
        key: Callable[[Cell], str],
        progress: SweepProgress,
        *,
        candidates: CandidateSource = NO_CANDIDATES,
        race: Race = NO_RACE,
        only: Container[str] | None = None,
        on_selection: Callable[[Sequence[TrialPlan]], None] = lambda selected: None,
        stopped: Sequence[TrialRef] = (),
    ) -> None:
        """Open the sweep in the ledger, and close what a killed launch left open there.

        Args:
            recorded: the sweep's cells as the ledger holds them.
            key: the cell key, `CellRunner.key`.
            candidates: the search; by default there is none.
            race: decides which candidates go on; by default all are judged on everything.
            only: keys of the only cells that may be trained; None is all.
            on_selection: called once with the trials that the search has selected, before they are opened.
            stopped: trials that users have stopped; they stay as they are.
        """
        self.workers = 1
        """Among how many workers the packs of a trial are shared."""
        self.settings_per_pack = 1
        """How many candidates, or variants, may share the steps of a pack."""
        self.draining = False
        """Set to assign nothing more."""
        self.counts = Counts()
        identities = {ref.identity for ref in stopped}
        plan = plan.without(identities)
        self._sweep, self._plan, self._progress = sweep, plan, progress
        self._ledger = LedgerActions(ledger, sweep.file, recorded)
        self._search = SearchLoop(candidates, race)
        self._search.recall(judged_cells(sweep, sweep.reference), recorded, self.counts)
        self._recall_stopped({ref.name for ref in stopped if ref.kind == "search"}, recorded)
        self._queue = TrialQueue(sweep, plan.baselines, self._search, on_selection, identities)
        self._book = TrialBook()
        self._trials = TrialLifecycle(self._book, self._ledger, self.counts, progress, key, only)
        self._suspects = Suspects()

    @property
    def name(self) -> str:
        """The sweep's."""
        return self._sweep.file.name

    @property
    def experiment(self) -> str:
        """Id of the sweep's experiment in the ledger."""
        return self._ledger.experiment

    @property
    def sweep_run(self) -> str:
        """Id of the sweep's run in the ledger."""
        return self._ledger.sweep_run

    @property
    def best(self) -> tuple[str, float] | None:
        """Name and mean validation accuracy, in percent, of the best candidate so far."""
        return self._search.best

    @property
    def idle(self) -> bool:
        """Whether no work unit is in training."""
        return self._book.idle

    @property
    def packs_ahead(self) -> int:
        """At least how many packs wait for a worker, or will when their trials are opened."""
        waiting = sum(len(trial.unassigned) for trial in self._book.ready())
        unopened = self.total - self.counts.finished - self.counts.failed - self._book.unsettled
        return waiting + math.ceil(max(0, unopened) / self._plan.largest_trial)

    @property
    def complete(self) -> bool:
        """Whether every cell is done, or on record as failed."""
        return self.counts.finished + self.counts.failed >= self.total

    @property
    def total(self) -> int:
        """Cells of the sweep as far as is known: without those whose turn never comes."""
        best = 0 if self._queue.selects_nothing else self._plan.best_cells
        known = replace(self._plan, candidates=self._search.candidates.total, best_cells=best).cells
        return known - self.counts.skipped(self._plan.candidate_cells)

    def wanted_per_pack(self, on_gpu: bool) -> int:
        """How many settings should share a pack, as the file asks for and the workers' devices suggest.

        Candidates, where there is a search; else variants and baselines.
        """
        search, grid = self._sweep.file.search, self._sweep.file.grid
        if search is None:
            return settings_per_pack(self._sweep.pack, len(grid.seeds), on_gpu)
        return settings_per_pack(search.pack, len(search.seeds or grid.seeds), on_gpu)

    def has_work(self) -> bool:
        """Open trials until one has a cell to train. False when there is none now, or none at all.

        Trials whose cells are all in the ledger are closed on the way, without any worker.
        """
        while not self._book.ready():
            following = self._queue.following(searching=self._book.searching)
            if following is None:
                return False
            self._trials.begin(*following)
            self._show()
        return True

    def assign(self) -> WorkUnit | None:
        """The next work unit. None when there is none to give: for now, or, when also `idle`, for good."""
        if self.draining or not self.has_work():
            return None
        trial = self._book.ready()[0]
        self._open_partners(trial)
        size = math.ceil(len(trial.unassigned) / self.workers)
        unit = self._book.assign([self._joined(trial, trial.unassigned.popleft()) for _ in range(size)])
        self._show()
        return unit

    def receive(self, number: int, outcomes: Iterable[CellOutcome]) -> None:
        """Take in cells of a work unit that a worker has recorded; receiving the same cell twice is harmless."""
        owners = self._book.unit(number).owners
        for outcome in outcomes:
            if outcome.key not in owners[outcome.key].outcomes:
                self._trials.record(owners[outcome.key], outcome)
        self._show()

    def stop(self, name: str, by: str) -> str:
        """Start no further cell of a trial; what is in training finishes, and every finished cell is kept.

        Args:
            by: who asks, and when.

        Returns:
            What comes of it, in words.
        """
        if (trial := self._book.named(name)) is not None:
            in_training = trial.units_out
            self._trials.stop(trial, by)
            answer = f"{name} stops" + (" when its cells in training have finished" if in_training else "")
        elif (plan := self._queue.remove(name)) is not None:
            self._trials.stop_unopened(plan, by)
            answer = f"{name} is stopped before its first cell"
        elif self._ledger.stop_by_name(name, by):
            answer = f"{name} is stopped as it stands"
        else:
            return f"{name} has finished or has not begun: there is nothing to stop"
        self._search.stopped.add(name)
        self._show()
        return answer

    def enqueue(self, start: StartPoint) -> str:
        """Propose a candidate of a user's next; returns what comes of it, in words.

        Raises:
            UserError: the search cannot propose it.
        """
        setting, shots = resolve(start.point, self._sweep.reference)
        start = start_point(self._sweep, start.label, setting, "clone", shots)
        if not self._search.enqueue(start):
            return "the study has this candidate already"
        return "it is tried next" if self._queue.searches else "the search is over: the next launch tries it"

    def is_withdrawn(self, number: int) -> bool:
        """Whether a work unit has cells left to train that users have stopped."""
        out = self._book.unit(number)
        return any(out.owners[cell.key].stopped_by for pack in out.untrained() for cell in pack)

    def recover(self, number: int) -> None:
        """Take in what a lost worker has recorded and could not report any more."""
        out = self._book.unit(number)
        recorded = self._ledger.recorded_now(trial.ref for trial in out.trials)
        self.receive(number, [outcome for outcome in recorded if outcome.key in out.owners])

    def end_unit(self, number: int, *, died: bool = False) -> None:
        """End a work unit. What it leaves untrained is assigned again, unless workers keep dying over it.

        A pack over which a worker died is assigned again in parts: only the guilty setting is to fail.

        Args:
            died: whether the worker process died, or failed outside of any pack.
        """
        out = self._book.end_unit(number)
        left = out.untrained()
        if died and left:
            left = [*self._after_death(out, left[0]), *left[1:]]
        self._book.give_back(out, left)
        for trial in out.trials:
            self._trials.advance(trial)
        self._show()

    def close(self, *, interrupted: bool) -> None:
        """Close the sweep's run, and the trials and cells that an interruption or a kill leaves incomplete."""
        counts = self.counts
        metrics = {"cells/finished": counts.finished, "cells/failed": counts.failed, "cells/trained": counts.trained}
        if self._search.race.prunes:
            metrics["trials/pruned"] = counts.pruned
        status: Status = "KILLED" if interrupted else "FAILED" if counts.failed else "FINISHED"
        floats = {name: float(n) for name, n in metrics.items()}
        self._ledger.close_sweep(self._book.open_run_ids, status, floats, self.best)

    def _recall_stopped(self, names: Set[str], recorded: Sequence[CellRow]) -> None:
        """Count the cells of candidates that users have stopped, which the study still knows."""
        self._search.stopped |= names
        own = [row for row in recorded if row.finished and row.kind == "search" and row.trial in names]
        self.counts.kept += len(own)
        self.counts.unreached += len(names) * self._plan.candidate_cells - len(own)

    def _open_partners(self, trial: OpenTrial) -> None:
        """Begin as many trials as may share the steps of one that begins.

        Candidates are asked for ahead until one has another shape. They are proposed without knowing how the others
        do, so no more of them wait, of whatever shape, than a pack holds: a search would not learn otherwise.
        """
        if trial.feedback.scores or not self._shares(trial):
            return
        shape = trial.unassigned[0][0].shape
        while sum(map(self._shares, self._book.ready())) < self.settings_per_pack:
            following = self._queue.partner(trial.plan, searching=self._book.searching)
            if following is None:
                return
            opened = self._trials.begin(*following)
            self._show()
            if trial.is_candidate and opened.unassigned and not opened.has_shape(shape):
                return

    def _shares(self, trial: OpenTrial) -> bool:
        """Whether it may share packs; beside a search only candidates may, since its number counts theirs."""
        return self.settings_per_pack > 1 and (trial.is_candidate or self._sweep.file.search is None)

    def _joined(self, trial: OpenTrial, pack: Pack) -> Pack:
        """A pack together with those of other trials that may train in the same steps."""
        if not self._shares(trial):
            return pack
        others = (other for other in self._book.ready() if other is not trial and self._shares(other))
        return join(pack, others, settings=self.settings_per_pack, suspects=self._suspects)

    def _after_death(self, out: UnitOut, suspect: Pack) -> list[Pack]:
        """What to try again of the pack that a worker died over; cells tried twice already are recorded as failed."""
        blamed, parts = self._suspects.after_death(suspect)
        reason = f"the worker process died {MOST_DEATHS} times while training this cell; is it out of memory?"
        for cell in blamed:
            self._trials.fail(out.owners[cell.key], cell, reason)
        return parts

    def _show(self) -> None:
        self._progress.show(self.counts, self.total, self._book.running, self.best)
