"""Races: when candidates are decided on, and which of them go on. Knows neither cells nor stores.

A race sees validation accuracies only. Its state follows from them and is rebuilt from recorded cells at every launch.
A candidate that is given up keeps its place: it is taken up again when, by what is known by then, it would go on.
"""

import statistics
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Sequence
from functools import cache
from typing import assert_never

from scipy.stats import t as student_t

from dualpt.search_spaces.search_section import Search
from dualpt.sweeps.racing.standings import Standings, paired_t


class Race(ABC):
    """Decides, after some of the datasets, whether a candidate goes on."""

    decisions: tuple[int, ...]
    """Numbers of datasets done at which it is decided."""
    prunes = True
    """Whether candidates may be given up at all."""

    def __init__(self) -> None:
        self.standings = Standings()

    def note(self, name: str, scores: Sequence[float]) -> None:
        """Set a candidate's scores on its first datasets, validation accuracies in percent."""
        self.standings.note(name, scores)

    def drop(self, name: str) -> None:
        """Forget a candidate that has failed."""
        self.standings.drop(name)

    @abstractmethod
    def goes_on(self, name: str) -> bool:
        """Whether a candidate that has done as many datasets as its scores tell goes on."""

    @abstractmethod
    def give_up(self, name: str) -> None:
        """Note that a candidate is not trained any further for now."""

    @abstractmethod
    def take_up(self) -> str | None:
        """A candidate that was given up and would go on now; it counts as in the race from here on."""


class NoRace(Race):
    """Every candidate is judged on all datasets; stateless."""

    decisions = ()
    prunes = False

    def note(self, name: str, scores: Sequence[float]) -> None:
        """Nothing: candidates are not compared."""

    def drop(self, name: str) -> None:
        """Nothing: there is nothing to forget."""

    def goes_on(self, name: str) -> bool:
        return True

    def give_up(self, name: str) -> None:
        raise AssertionError("without a race no candidate is given up")

    def take_up(self) -> str | None:
        return None


NO_RACE = NoRace()


class Asha(Race):
    """Asynchronous successive halving (Li et al., 2020, arXiv 1810.05934) on datasets done.

    Of those that have done k datasets, one in `reduction` goes on, and at least one: the first candidate is always
    judged on all datasets.
    """

    def __init__(self, n_datasets: int, *, first: int = 1, reduction: int = 3) -> None:
        """
        Args:
            n_datasets: datasets that a candidate is judged on.
            first: datasets before the first decision; the next come after `reduction` times as many each.
            reduction: one candidate in so many goes on.
        """
        super().__init__()
        self._waiting: dict[int, list[tuple[float, str]]] = {}
        rungs = [first]
        while rungs[-1] * reduction < n_datasets:
            rungs.append(rungs[-1] * reduction)
        self.decisions, self._reduction = tuple(rungs), reduction

    def goes_on(self, name: str) -> bool:
        done = len(self.standings.scores(name))
        quota = max(1, self.standings.reached(done) // self._reduction)
        return self.standings.rank(name, done) < quota

    def give_up(self, name: str) -> None:
        scores = self.standings.scores(name)
        insort(self._waiting.setdefault(len(scores), []), (statistics.fmean(scores), name))

    def take_up(self) -> str | None:
        """The best of a rung, the latest rung first: where the best does not go on, none does."""
        for done in sorted(self._waiting, reverse=True):
            waiting = self._waiting[done]
            if waiting and self.goes_on(waiting[-1][1]):
                return waiting.pop()[1]
        return None


class StatisticalRace(Race):
    """Gives up a candidate when a paired t-test over the datasets done says that it is worse than the best.

    The test is one-sided, over each dataset's difference to the leader. It is repeated after every dataset, so its
    error over a race is larger than one test's.
    """

    def __init__(self, n_datasets: int, *, first: int = 3, confidence: float = 0.95) -> None:
        """
        Args:
            n_datasets: datasets that a candidate is judged on.
            first: datasets before the first test, at least 2.
            confidence: 1 minus the level of each test.
        """
        super().__init__()
        self.decisions = tuple(range(max(2, first), n_datasets))
        self._confidence = confidence
        self._given_up: list[str] = []
        self._tested: tuple[str | None, int] = (None, 0)

    def goes_on(self, name: str) -> bool:
        leader, own = self.standings.leader(), self.standings.scores(name)
        if leader is None or leader == name:
            return True
        theirs = self.standings.scores(leader)[: len(own)]
        return paired_t(theirs, own) < _critical(self._confidence, len(own) - 1)

    def give_up(self, name: str) -> None:
        self._given_up.append(name)

    def take_up(self) -> str | None:
        """All are tested again when another leads, one after the other."""
        leader = self.standings.leader()
        tested = self._tested[1] if self._tested[0] == leader else 0
        for place in range(tested, len(self._given_up)):
            if self.goes_on(self._given_up[place]):
                self._tested = (leader, place)
                return self._given_up.pop(place)
        self._tested = (leader, len(self._given_up))
        return None


@cache
def _critical(confidence: float, degrees: int) -> float:
    return float(student_t.ppf(confidence, degrees))


def race_of(search: Search, n_datasets: int) -> Race:
    """The race that a search section asks for.

    Args:
        n_datasets: datasets that a candidate is judged on.
    """
    match search.racing:
        case "asha":
            return Asha(n_datasets, first=search.race_datasets or 1, reduction=search.race_reduction or 3)
        case "statistical":
            confidence = search.race_confidence or 0.95
            return StatisticalRace(n_datasets, first=search.race_datasets or 3, confidence=confidence)
        case "none":
            return NO_RACE
        case _:
            assert_never(search.racing)
