"""Statistics against published worked examples, and against SciPy where ours is written out."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from dualpt.sweeps.comparison.statistics import (
    compare_paired,
    corrected_together,
    hierarchical_interval,
    holm,
    nemenyi_critical_difference,
    rank_accuracies,
    rank_methods,
    smallest_p,
    wilcoxon,
)

# Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), table 6: AUC of C4.5, C4.5+m,
# C4.5+cf and C4.5+m+cf on 14 data sets. Printed to three digits, voting ties between the last two; the table ranks them
# 2 and 3, from the digits not printed.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")

# Hollander and Wolfe, Nonparametric Statistical Methods (1973), p. 140: seconds to round first base, 22 players, three
# ways; the example of R's friedman.test, which prints chi-squared = 11.143, df = 2, p = 0.003805.
ROUNDING = np.array(
    [
        [5.40, 5.50, 5.55],
        [5.85, 5.70, 5.75],
        [5.20, 5.60, 5.50],
        [5.55, 5.50, 5.40],
        [5.90, 5.85, 5.70],
        [5.45, 5.55, 5.60],
        [5.40, 5.40, 5.35],
        [5.45, 5.50, 5.35],
        [5.25, 5.15, 5.00],
        [5.85, 5.80, 5.70],
        [5.25, 5.20, 5.10],
        [5.65, 5.55, 5.45],
        [5.60, 5.35, 5.45],
        [5.05, 5.00, 4.95],
        [5.50, 5.50, 5.40],
        [5.45, 5.55, 5.50],
        [5.55, 5.55, 5.35],
        [5.45, 5.50, 5.55],
        [5.50, 5.45, 5.25],
        [5.65, 5.60, 5.40],
        [5.70, 5.65, 5.55],
        [6.30, 6.30, 6.25],
    ]
)


def test_ranks_of_demsars_table_6() -> None:
    ranks = rank_accuracies(NAMES, DEMSAR)
    assert ranks.mean_ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    ties = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * 4 * (4**2 - 1))  # Demšar's statistic leaves ties uncorrected
    assert ranks.chi_square * ties == pytest.approx(9.28, abs=0.005)
    uncorrected = ranks.chi_square * ties
    assert 13 * uncorrected / (14 * 3 - uncorrected) == pytest.approx(3.69, abs=0.005)
    assert ranks.f == pytest.approx(13 * ranks.chi_square / (14 * 3 - ranks.chi_square))
    assert ranks.critical_difference == pytest.approx(1.25, abs=0.005)


def test_groups_of_demsars_table_6() -> None:
    """At alpha 0.10 Demšar's Nemenyi test (CD 1.12) tells C4.5 from the two with m; at 0.05 (CD 1.25) it does not."""
    assert nemenyi_critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)
    assert rank_accuracies(NAMES, DEMSAR).groups() == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]


def test_friedman_of_hollander_and_wolfe() -> None:
    ranks = rank_accuracies(("round out", "narrow angle", "wide angle"), -ROUNDING)
    assert ranks.chi_square == pytest.approx(11.143, abs=5e-4)
    assert ranks.p == pytest.approx(0.003805, abs=5e-7)
    assert ranks.mean_ranks == pytest.approx((53 / 22, 47 / 22, 32 / 22))


# Demšar's table 5(a): critical values of the two-tailed Nemenyi test at 0.05, for 2 to 10 classifiers.
NEMENYI = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)


@pytest.mark.parametrize(("k", "q"), list(enumerate(NEMENYI, start=2)))
def test_nemenyis_critical_values(k: int, q: float) -> None:
    assert nemenyi_critical_difference(k, 1) / math.sqrt(k * (k + 1) / 6) == pytest.approx(q, abs=1e-3)


def test_wilcoxon_of_demsars_table_2() -> None:
    """C4.5 against C4.5+m: R- = 12, below the critical value 21 at 0.05 for 14 data sets, so p < 0.05; zeros split."""
    differences = DEMSAR[:, 1] - DEMSAR[:, 0]
    rounded = np.round(differences, 9)
    assert stats.wilcoxon(rounded, zero_method="zsplit", method="approx").statistic == 12
    assert wilcoxon(differences) < 0.05
    few = rounded[:9]  # with a zero and a tie; SciPy's permutations take their time
    permuted = stats.wilcoxon(few, zero_method="zsplit", method=stats.PermutationMethod())
    assert wilcoxon(few) == pytest.approx(permuted.pvalue)


@pytest.mark.parametrize("n", [5, 11, 16, 40])
def test_wilcoxon_is_scipys_where_nothing_ties(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.4, size=n)
    expected = stats.wilcoxon(differences, method="exact" if n <= 16 else "approx").pvalue
    assert wilcoxon(differences) == pytest.approx(expected)


TIED = {
    "a zero": [0.0, 1.0, 2.0, -3.0, 4.0, 5.0],
    "zeros": [0.0, 0.0, 0.0, 1.0, 2.0, -1.0, 2.0],
    "ties of both signs": [1.0, -1.0, 1.0, -1.0, 1.0, 2.0, 2.0],
    "one difference": [0.0, 0.0, 0.0, 0.0, 1.5],
    "all equal": [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    "floats that tie": [0.1 + 0.2, 0.3, -0.3, 0.6, 0.1 * 3],
}


@pytest.mark.parametrize("differences", TIED.values(), ids=TIED)
def test_wilcoxon_with_ties_and_zeros_is_scipys_exact_permutation_test(differences: list[float]) -> None:
    known = np.round(differences, 9)
    method = stats.PermutationMethod(n_resamples=np.inf)
    assert wilcoxon(np.array(differences)) == pytest.approx(
        stats.wilcoxon(known, zero_method="zsplit", method=method).pvalue, abs=1e-12
    )
    assert wilcoxon(-known) == wilcoxon(known)


def test_ranks_with_ties_are_scipys() -> None:
    counts = np.random.default_rng(7).integers(0, 4, size=(9, 5)).astype(float)  # few values: every row has ties
    assert all(len(set(row)) < 5 for row in counts)
    ranks = rank_accuracies(tuple("abcde"), counts)
    assert ranks.mean_ranks == pytest.approx(tuple(np.mean([stats.rankdata(-row) for row in counts], axis=0)))
    expected = stats.friedmanchisquare(*counts.T)
    assert (ranks.chi_square, ranks.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    equal_rows = np.vstack([counts, np.full((2, 5), 50.0)])  # datasets on which all methods are equal
    assert rank_accuracies(tuple("abcde"), equal_rows).chi_square == pytest.approx(
        stats.friedmanchisquare(*equal_rows.T).statistic
    )


def test_the_interval_of_tied_differences_is_the_exact_one_of_all_resamples() -> None:
    """Four datasets with a zero and a tie have 256 equally probable resamples: quantiles of these, to Monte Carlo."""
    values = np.array([0.0, 1.0, 1.0, -2.0])
    means = np.array([values[list(rows)].mean() for rows in itertools.product(range(4), repeat=4)])
    interval = hierarchical_interval(values[:, None], resamples=40_000)
    assert (interval.low, interval.high) == tuple(np.quantile(means, [0.025, 0.975]))
    plain = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    assert (interval.low, interval.high) == (plain.low, plain.high)
    zeros = hierarchical_interval(np.zeros((11, 3)))
    assert (zeros.low, zeros.high) == (0.0, 0.0)


def test_wilcoxon_at_its_ends() -> None:
    assert wilcoxon(np.zeros(11)) == 1.0
    assert wilcoxon(np.arange(1.0, 12.0)) == smallest_p(11) == 2 / 2**11


def test_holm_of_demsars_section_3_2_2() -> None:
    """C4.5 as control: p 0.016 is held against 0.017, 0.019 against 0.025, 0.607 against 0.05."""
    adjusted = holm([0.016, 0.019, 0.607])
    assert adjusted == pytest.approx([0.048, 0.048, 0.607])
    assert holm([]) == []


def test_holm_is_that_of_statsmodels_without_collecting_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    families = [random.choice([0.001, 0.01, 0.02, 0.3, 1.0, *random.random(5)], size=n) for n in (1, 2, 5, 12, 40)]
    collected: list[int] = []
    monkeypatch.setattr("gc.collect", lambda: collected.append(1))
    theirs = [list(multipletests(ps, method="holm")[1]) for ps in families]
    collected.clear()
    assert [holm(list(ps)) for ps in families] == theirs
    assert collected == [], "each would take up to a second"


def test_the_interval_of_one_seed_is_the_plain_bootstrap_over_datasets() -> None:
    values = np.random.default_rng(1).normal(size=(11, 1))
    ours = hierarchical_interval(values)
    plain = stats.bootstrap(
        (values[:, 0],), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=0.03)


def test_the_interval_has_the_variance_of_both_levels() -> None:
    """Resampled means have variance s_b / D + s_w / (D S), the plug-in variances of dataset means and within them."""
    values = np.random.default_rng(3).normal(size=(11, 3)) + np.random.default_rng(4).normal(0, 2, size=(11, 1))
    interval = hierarchical_interval(values, resamples=40_000)
    variance = values.mean(axis=1).var() / 11 + values.var(axis=1).mean() / (11 * 3)
    assert (interval.high - interval.low) / (2 * 1.96) == pytest.approx(math.sqrt(variance), rel=0.03)


def test_intervals_cover_as_often_as_they_say() -> None:
    """At 11 datasets percentile intervals are a little short: 95 % intervals cover the true mean less often."""
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        drawn = generator.normal(size=(11, 3)) + generator.normal(0, 2, size=(11, 1))
        interval = hierarchical_interval(drawn, resamples=500)
        covered += interval.low <= 0 <= interval.high
    assert 0.88 <= covered / 300 <= 0.97


def test_paired_results_count_datasets_and_pairs() -> None:
    baseline = np.full((4, 2), 50.0)
    better = baseline + np.array([[1, 3], [2, 2], [0, 0], [-1, 0]])
    found = compare_paired({"better": better, "same": baseline}, baseline)
    assert found["better"].difference == pytest.approx((2 + 2 + 0 - 0.5) / 4)
    assert (found["better"].higher, found["better"].lower) == (2, 1)
    assert found["better"].better == pytest.approx((4 + 0.5 * 3) / 8)
    assert (found["same"].p, found["same"].holm, found["same"].better) == (1.0, 1.0, 0.5)
    assert found["better"].interval.low <= found["better"].difference <= found["better"].interval.high


def test_where_lower_is_better_the_lower_wins_and_ranks_first() -> None:
    baseline = np.full((6, 3), 1.0)
    lower, higher = baseline - 0.2, baseline + 0.2
    found = compare_paired({"lower": lower, "higher": higher}, baseline, lower_is_better=True)
    assert (found["lower"].better, found["higher"].better) == (1.0, 0.0)
    assert (found["lower"].difference, found["lower"].lower) == (pytest.approx(-0.2), 6)
    ranks = rank_methods({"lower": lower, "baseline": baseline, "higher": higher}, lower_is_better=True)
    assert ranks.mean_ranks == (1.0, 2.0, 3.0)


def test_an_infinite_f_tells_nothing_apart() -> None:
    """Two datasets that rank three methods alike are no evidence: one pair of orders in six is equal by chance."""
    two = rank_accuracies(("a", "b", "c"), np.array([[3.0, 2.0, 1.0], [9.0, 8.0, 7.0]]))
    assert not two.has_f
    assert two.together_p == two.p == pytest.approx(math.exp(-2), rel=1e-9)  # chi-square of 4 at two degrees
    differing = rank_accuracies(("a", "b", "c"), np.array([[3.0, 2.0, 1.0], [9.0, 8.0, 7.0], [1.0, 3.0, 2.0]]))
    assert differing.has_f
    assert differing.together_p == differing.f_p


def test_equal_methods_share_ranks() -> None:
    values = np.random.default_rng(6).normal(size=(5, 2))
    ranks = rank_methods({"a": values, "b": values, "c": values})
    assert ranks.mean_ranks == (2.0, 2.0, 2.0)
    assert ranks.p == 1.0


def test_equal_counts_of_correct_images_are_neither_higher_nor_lower() -> None:
    """100 * 3 / 7 by two ways differs in its last bit."""
    one = np.array([[100 * (k / 7)] for k in range(1, 7)])
    other = np.array([[100 * k / 7] for k in range(1, 7)])
    assert (one != other).any(), "the noise is there"
    found = compare_paired({"method": one}, other)["method"]
    assert (found.higher, found.lower, found.better, found.p) == (0, 0, 0.5, 1.0)


def test_comparisons_that_are_read_together_are_corrected_together() -> None:
    rng = np.random.default_rng(3)
    baseline = rng.normal(60, 1, (11, 3))
    families = [
        compare_paired({name: baseline + rng.normal(0.5, 1, (11, 3)) for name in "abc"}, baseline) for _ in "xy"
    ]
    together = corrected_together(families)
    ps = [found.p for family in families for found in family.values()]
    assert [found.holm for family in together for found in family.values()] == holm(ps)
    assert all(
        wide[name].holm >= narrow[name].holm for wide, narrow in zip(together, families, strict=True) for name in narrow
    )
