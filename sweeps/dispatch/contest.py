"""How the candidates of a search stand: told to the study and the race, which decide what is trained next.

Knows no ledger: the dealer records what is decided here.
"""

import statistics
from collections.abc import Sequence

from dualpt.core.cell import Cell
from dualpt.sweeps.dispatch.interfaces import CandidateSource
from dualpt.sweeps.dispatch.shards import OpenTrial
from dualpt.sweeps.dispatch.tally import Tally
from dualpt.sweeps.racing import Race, recorded_scores
from dualpt.sweeps.records import CellRow


class Contest:
    """The study, the race over it, and the best candidate so far. Trials that are no candidates do not matter to it."""

    def __init__(self, candidates: CandidateSource, race: Race | None, tally: Tally) -> None:
        """
        Args:
            race: decides which candidates go on; None judges all of them whole.
            tally: counts those that are given up.
        """
        self._candidates, self._race, self._tally = candidates, race, tally
        self.best: tuple[str, float] | None = None
        """Name and mean validation accuracy, in percent, of the best whole candidate."""

    @property
    def races(self) -> bool:
        """Whether candidates may be given up."""
        return self._race is not None

    @property
    def decisions(self) -> tuple[int, ...]:
        """Numbers of datasets done at which it is decided whether a candidate goes on."""
        return () if self._race is None else self._race.decisions

    def recall(self, judged_cells: Sequence[Cell], recorded: Sequence[CellRow]) -> None:
        """Take over from earlier launches: values of judged candidates, and from their cells how the race stands.

        Args:
            judged_cells: what a candidate is judged on, in the order of the race.
            recorded: the sweep's cells as the ledger holds them.
        """
        judged, given_up = self._candidates.judged(), self._candidates.pruned()
        self.best = max(judged.items(), key=lambda item: item[1], default=None)
        searched = [row for row in recorded if row.finished and row.kind == "search"]
        self._tally.kept = sum(row.trial in judged for row in searched)
        scores = recorded_scores(judged_cells, searched)
        if self._race is not None:
            for name in [*judged, *given_up]:
                self._race.standings.note(name, scores.get(name, ()))
        for name in given_up:
            if self._race is None or not scores.get(name):
                self._candidates.take_up(name)
            else:
                self._race.give_up(name)
                done = frozenset(row.key for row in searched if row.trial == name)
                self._tally.give_up(name, done)
                self._tally.kept += len(done)

    def score(self, trial: OpenTrial) -> None:
        """Report a candidate's datasets that have become whole to the race and the study."""
        if trial.proposal is None:
            return
        known = len(trial.scores)
        trial.rescore()
        if self._race is not None:
            self._race.standings.note(trial.plan.name, trial.scores)
        for done in range(known + 1, len(trial.scores) + 1):
            self._candidates.report(trial.proposal, done, statistics.fmean(trial.scores[:done]))

    def goes_on(self, trial: OpenTrial) -> bool:
        """Whether a trial is trained on, by the datasets that it has done."""
        return trial.proposal is None or self._race is None or self._race.goes_on(trial.plan.name)

    def take_up(self, trial: OpenTrial) -> None:
        """Count a trial that begins as in the race, also where it had been given up."""
        trial.counted = self._tally.take_up(trial.plan.name)

    def give_up(self, trial: OpenTrial) -> None:
        """Leave a candidate as it is, for now."""
        assert self._race is not None
        assert trial.proposal is not None
        self._candidates.prune(trial.proposal)
        self._race.give_up(trial.plan.name)
        self._tally.give_up(trial.plan.name, frozenset(trial.outcomes))

    def tell(self, trial: OpenTrial) -> None:
        """Tell the study what became of a candidate that is over."""
        if trial.proposal is None:
            return
        value = trial.value
        self._candidates.tell(trial.proposal, value, trial.failure)
        if value is not None and (self.best is None or value > self.best[1]):
            self.best = (trial.plan.name, value)
        if value is None and self._race is not None:
            self._race.standings.drop(trial.plan.name)
