"""A p-value that repeats the selection: exact where nothing was selected, and rarely a claim among null candidates."""

import numpy as np
import pytest

from benchmarks.statistics.false_claims import CORRECTIONS, claim_rates, normal, recorded_spread
from dualpt.sweeps.comparison.searched.reselection import Contender, reselected_p, sign_patterns, signed_ranks
from dualpt.sweeps.comparison.statistics import EXACT_DATASETS, RESAMPLES, wilcoxon

ROUNDS = np.random.default_rng(1)


@pytest.mark.parametrize("zeros", [0, 3])
def test_with_one_candidate_it_is_wilcoxons_test(zeros: int) -> None:
    for _ in range(20):
        tests, baseline = ROUNDS.normal(0.4, 1, 9).round(1), ROUNDS.normal(0, 1, 9).round(1)
        tests[:zeros] = baseline[:zeros]
        p = reselected_p(Contender.unsearched(tests), Contender.unsearched(baseline))
        assert p == pytest.approx(wilcoxon(tests - baseline))


def test_selection_is_repeated_under_every_pattern_written_out() -> None:
    random = np.random.default_rng(5)
    validation, tests = random.normal(0, 1, (3, 4)), random.normal(0, 1, (3, 4))
    order = np.argsort(-validation.sum(axis=1))
    validation, tests = validation[order], tests[order]
    statistic = {}
    for flips in np.ndindex(2, 2, 2, 2):
        signs = 1 - 2 * np.array(flips)
        selected = max(range(3), key=lambda c: sum(signs * validation[c]))
        statistic[flips] = abs(sum(signs * signed_ranks(tests[selected])))
    observed = statistic[0, 0, 0, 0]
    expected = np.mean([value >= observed - 1e-9 for value in statistic.values()])
    found = reselected_p(Contender(tests, validation), Contender.unsearched(np.zeros(4)))
    assert expected > wilcoxon(tests[0])
    assert found == pytest.approx(expected)


def test_a_search_never_makes_a_difference_look_surer_than_it_would_without_one() -> None:
    """Signs that select the second candidate, which differs from nothing, count against no claim of the first."""
    tests = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, -6.0], [0.0] * 6])
    validation = np.array([[0.1, 0.2, 0.3, 0.1, 0.2, 0.1], [0.0] * 6])
    found = reselected_p(Contender(tests, validation), Contender.unsearched(np.zeros(6)))
    assert found == pytest.approx(wilcoxon(tests[0])) == pytest.approx(0.4375)


def test_the_level_of_validation_accuracy_on_a_dataset_does_not_matter() -> None:
    validation, tests = ROUNDS.normal(0, 1, (5, 8)), ROUNDS.normal(0, 1, (5, 8))
    other = Contender.unsearched(np.zeros(8))
    shifted = Contender(tests, validation + 30 * np.arange(8))
    assert reselected_p(Contender(tests, validation), other) == reselected_p(shifted, other)


def test_many_datasets_are_flipped_at_random_and_the_observed_pattern_counts() -> None:
    patterns = sign_patterns(EXACT_DATASETS + 1)
    assert patterns.shape == (RESAMPLES + 1, EXACT_DATASETS + 1)
    assert (patterns[0] == 1).all()
    assert len(np.unique(sign_patterns(6), axis=0)) == 64


def test_searches_among_null_candidates_rarely_end_in_a_claim() -> None:
    """200 searches of 40 candidates on eleven datasets, with the spread of recorded cells."""
    rates = claim_rates(200, 40, recorded_spread(), normal, seed=3)
    assert rates["none"] > 0.1
    by_chance = 2 * (0.05 * 0.95 / 200) ** 0.5  # two standard errors of a rate of 5 % among 200
    assert all(rates[name] <= 0.05 + by_chance for name in CORRECTIONS if name != "none")


def test_a_sampler_that_learns_needs_the_correction_for_any_search() -> None:
    """It returns to what luck favoured, which signs flipped afterwards cannot repeat."""
    rates = claim_rates(100, 40, recorded_spread(), normal, learns=True, seed=3)
    assert rates["reselection"] > 0.1
    assert rates["Bonferroni"] <= 0.05 + 2 * (0.05 * 0.95 / 100) ** 0.5


def test_it_claims_more_of_what_is_there_than_the_other_corrections() -> None:
    rates = claim_rates(60, 40, recorded_spread(), normal, worth=4.0, seed=4)
    assert rates["reselection"] > 1.5 * max(rates["Bonferroni"], rates["max-T"])
