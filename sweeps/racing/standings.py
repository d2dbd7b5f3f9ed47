"""How candidates stand: validation accuracies, in percent, on the datasets of a race in their fixed order."""

import math
import statistics
from bisect import bisect_left, insort
from collections.abc import Sequence


class Standings:
    """Scores of all candidates; comparisons are over the same first k datasets."""

    def __init__(self) -> None:
        self._scores: dict[str, list[float]] = {}
        self._ranked: dict[int, list[tuple[float, str]]] = {}

    def note(self, name: str, scores: Sequence[float]) -> None:
        """Set a candidate's scores on the first datasets; those known already stay."""
        own = self._scores.setdefault(name, [])
        for score in scores[len(own) :]:
            own.append(score)
            insort(self._ranked.setdefault(len(own), []), (statistics.fmean(own), name))

    def drop(self, name: str) -> None:
        """Forget a candidate that has failed."""
        scores = self._scores.pop(name, [])
        for done in range(1, len(scores) + 1):
            self._ranked[done].remove((statistics.fmean(scores[:done]), name))

    def scores(self, name: str) -> Sequence[float]:
        """The candidate's score on each dataset done."""
        return self._scores.get(name, ())

    def reached(self, done: int) -> int:
        """How many candidates have done so many datasets."""
        return len(self._ranked.get(done, ()))

    def rank(self, name: str, done: int) -> int:
        """The candidate's rank by the mean over the first `done` datasets, from 0, the best."""
        ranked = self._ranked[done]
        place = bisect_left(ranked, (statistics.fmean(self._scores[name][:done]), name))
        return len(ranked) - 1 - place

    def leader(self) -> str | None:
        """The best by mean of those that have done the most datasets."""
        furthest = max((done for done, ranked in self._ranked.items() if ranked), default=None)
        return None if furthest is None else self._ranked[furthest][-1][1]


def paired_t(better: Sequence[float], worse: Sequence[float]) -> float:
    """Student's paired t statistic of the differences `better - worse`; infinite where all are equal and not zero."""
    differences = [a - b for a, b in zip(better, worse, strict=True)]
    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    if spread == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / (spread / math.sqrt(len(differences)))
