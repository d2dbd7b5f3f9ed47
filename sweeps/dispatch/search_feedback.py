"""The search as dispatching sees it: candidates are asked for, and the study and the race hear how they do.

Knows no ledger: what is decided here is recorded by `dualpt.sweeps.dispatch.trial_lifecycle`.
"""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dualpt.core.cell import Cell
from dualpt.search_spaces.points import StartPoint
from dualpt.sweeps.dispatch.counts import Counts
from dualpt.sweeps.dispatch.interfaces import CandidateSource
from dualpt.sweeps.racing import Race, recorded_scores
from dualpt.sweeps.records import CellOutcome, CellRow, TrialCell
from dualpt.sweeps.search import Proposal


class TrialFeedback:
    """Who hears how a trial does: nobody, where no search proposed it. Such a trial is always trained to its end."""

    scores: Sequence[float] = ()
    """Mean validation accuracy, in percent, on each of its first datasets, as far as they are complete."""

    def stages(self, cells: Sequence[TrialCell]) -> Iterable[tuple[TrialCell, ...]]:
        """Its cells in the parts between which it is decided whether it goes on."""
        return [tuple(cells)]

    def report(self, cells: Sequence[TrialCell], outcomes: Mapping[str, CellOutcome]) -> None:
        """Report the datasets that have become complete.

        Args:
            cells: all cells of the trial.
            outcomes: those that are known, by key.
        """

    def goes_on(self) -> bool:
        """Whether the trial is trained further, judged by the datasets it has done."""
        return True

    def give_up(self) -> None:
        """Leave the trial as it stands, for now."""
        raise AssertionError("only candidates are given up")

    def stop(self) -> None:
        """Leave the trial as it stands, since a user has stopped it."""

    def finish(self, value: float | None, failure: str | None) -> None:
        """Report what became of the trial.

        Args:
            value: the objective, in percent; None where a cell has no result.
            failure: why its first failed cell failed.
        """


NO_FEEDBACK = TrialFeedback()


class CandidateFeedback(TrialFeedback):
    """Reports a candidate to the study that proposed it and to the race it is in."""

    def __init__(self, proposal: Proposal, search: "SearchLoop") -> None:
        self._proposal, self._search = proposal, search
        self.scores: list[float] = []
        self._by_dataset: list[tuple[TrialCell, ...]] = []

    def stages(self, cells: Sequence[TrialCell]) -> Iterable[tuple[TrialCell, ...]]:
        return stages(cells, self._search.race.decisions)

    def report(self, cells: Sequence[TrialCell], outcomes: Mapping[str, CellOutcome]) -> None:
        self._by_dataset = self._by_dataset or by_dataset(cells)
        known = len(self.scores)
        for group in self._by_dataset[known:]:
            accuracies = validation_accuracies(outcomes[cell.key] for cell in group if cell.key in outcomes)
            if len(accuracies) < len(group):
                break
            self.scores.append(statistics.fmean(accuracies))
        self._search.race.note(self._proposal.name, self.scores)
        for done in range(known + 1, len(self.scores) + 1):
            self._search.candidates.report(self._proposal, done, statistics.fmean(self.scores[:done]))

    def goes_on(self) -> bool:
        return self._search.race.goes_on(self._proposal.name)

    def give_up(self) -> None:
        self._search.candidates.prune(self._proposal)
        self._search.race.give_up(self._proposal.name)

    def stop(self) -> None:
        self._search.candidates.stop(self._proposal)
        self._search.race.drop(self._proposal.name)

    def finish(self, value: float | None, failure: str | None) -> None:
        self._search.candidates.tell(self._proposal, value, failure)
        if value is None:
            self._search.race.drop(self._proposal.name)
        else:
            self._search.compare(self._proposal.name, value)


class SearchLoop:
    """A study, the race over its candidates, and the best candidate so far."""

    def __init__(self, candidates: CandidateSource, race: Race) -> None:
        """
        Args:
            candidates: proposes them; `NO_CANDIDATES` where nothing is searched.
            race: decides which of them go on; `NO_RACE` judges all of them on everything.
        """
        self.candidates, self.race = candidates, race
        self.best: tuple[str, float] | None = None
        """Name and mean validation accuracy, in percent, of the best candidate that has been judged on everything."""
        self.stopped: set[str] = set()
        """Names of the candidates that users have stopped: the race takes none of them up again."""
        self._exhausted = False

    def recall(self, judged_cells: Sequence[Cell], recorded: Sequence[CellRow], counts: Counts) -> None:
        """Take over from earlier launches: values of judged candidates, and from their cells how the race stands.

        Args:
            judged_cells: what a candidate is judged on, in the order of the race.
            recorded: the sweep's cells as the ledger holds them.
            counts: counts the cells that are kept and the candidates that stay given up.
        """
        judged, given_up = self.candidates.judged(), self.candidates.pruned()
        self.best = max(judged.items(), key=lambda item: item[1], default=None)
        searched = [row for row in recorded if row.finished and row.kind == "search"]
        counts.kept = sum(row.trial in judged for row in searched)
        scores = recorded_scores(judged_cells, searched)
        for name in [*judged, *given_up]:
            self.race.note(name, scores.get(name, ()))
        for name in given_up:
            if not self.race.prunes or not scores.get(name):
                self.candidates.take_up(name)
            else:
                self.race.give_up(name)
                done = frozenset(row.key for row in searched if row.trial == name)
                counts.give_up(name, done)
                counts.kept += len(done)

    def ask(self) -> Proposal | None:
        """The next candidate: one that was given up and would now go on, or a new one; None when there is neither."""
        while (name := self.race.take_up()) is not None:
            if name not in self.stopped:
                self.candidates.take_up(name)
                self._exhausted = False
        proposal = None if self._exhausted else self.candidates.ask()
        self._exhausted = proposal is None
        return proposal

    def enqueue(self, start: StartPoint) -> bool:
        """Have a candidate of a user's proposed next; returns whether the study has not had it yet."""
        queued = self.candidates.enqueue(start)
        self._exhausted = self._exhausted and not queued
        return queued

    def compare(self, name: str, value: float) -> None:
        """Compare a candidate that has been judged on everything with the best."""
        if self.best is None or value > self.best[1]:
            self.best = (name, value)


def by_dataset(cells: Iterable[TrialCell]) -> list[tuple[TrialCell, ...]]:
    """Cells grouped by dataset, in the order in which the datasets first appear."""
    groups: dict[str, list[TrialCell]] = {}
    for keyed in cells:
        groups.setdefault(keyed.cell.dataset, []).append(keyed)
    return [tuple(group) for group in groups.values()]


def stages(cells: Sequence[TrialCell], decisions: Sequence[int]) -> Iterator[tuple[TrialCell, ...]]:
    """A candidate's cells between decisions, dataset by dataset.

    Args:
        decisions: numbers of datasets done after which it is decided whether the candidate goes on.
    """
    groups = by_dataset(cells)
    for begin, end in zip((0, *decisions), (*decisions, len(groups)), strict=True):
        yield tuple(cell for group in groups[begin:end] for cell in group)


def validation_accuracies(outcomes: Iterable[CellOutcome]) -> list[float]:
    """Validation accuracies, in percent, of the cells that have not failed and have a finite one."""
    values = [outcome.selection for outcome in outcomes if outcome.failure is None]
    return [value for value in values if value is not None and math.isfinite(value)]
