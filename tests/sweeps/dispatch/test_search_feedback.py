"""What stands for a search or a race that is not there: it proposes nothing, compares nothing, and gives nobody up."""

import pytest

from dualpt.sweeps.dispatch.counts import Counts
from dualpt.sweeps.dispatch.interfaces import NO_CANDIDATES
from dualpt.sweeps.dispatch.search_feedback import NO_FEEDBACK, CandidateFeedback, SearchLoop
from dualpt.sweeps.racing import NO_RACE, race_of
from dualpt.sweeps.simulation.memory import ListedCandidates
from tests.sweeps.small_sweep import Declare


def test_without_a_search_nothing_is_proposed_or_best() -> None:
    search, counts = SearchLoop(NO_CANDIDATES, NO_RACE), Counts()
    search.recall([], [], counts)
    assert search.ask() is None
    assert search.best is None
    assert counts == Counts()


def test_without_a_race_candidates_go_on_and_are_told_to_the_study(declare: Declare) -> None:
    sweep = declare()
    assert sweep.file.search is not None
    race = race_of(sweep.file.search, 3)
    assert race is NO_RACE
    candidates = ListedCandidates([("worse", sweep.reference), ("better", sweep.reference)])
    search = SearchLoop(candidates, race)
    for value in (70.0, 80.0):
        proposal = search.ask()
        assert proposal is not None
        feedback = CandidateFeedback(proposal, search)
        assert list(feedback.stages([])) == [()], "one stage"
        assert feedback.goes_on()
        feedback.finish(value, None)
    assert search.ask() is None
    assert search.best == ("better", 80.0)
    assert candidates.judged() == {"worse": 70.0, "better": 80.0}
    with pytest.raises(AssertionError):
        race.give_up("better")


def test_trials_that_no_search_proposed_are_trained_to_their_end() -> None:
    assert NO_FEEDBACK.goes_on()
    NO_FEEDBACK.finish(90.0, None)
    with pytest.raises(AssertionError):
        NO_FEEDBACK.give_up()
