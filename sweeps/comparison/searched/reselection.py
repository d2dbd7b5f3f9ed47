"""A p-value for the candidate that a search selected: the selection is part of what the null distribution repeats.

The best of K candidates on validation accuracy is likely to look good on test too where all are worth the same: both
accuracies come from the same datasets and the same training draws, and share what those happened to favour. Under the
null hypothesis a dataset's differences to the baseline, of all candidates and of validation and test together, are as
likely as their negatives. So every pattern of signs of the datasets is an outcome that might as well have been seen:
in each, the candidate with the highest validation accuracy is selected again, and its own Wilcoxon statistic on test
is compared with the one observed. A randomization test holds its level whatever its statistic (Lehmann and Romano,
Testing Statistical Hypotheses, 3rd edition, 2005, theorem 15.2.1), a statistic that selects included; with one
candidate it is Wilcoxon's exact test. It loses less power than a correction for the largest of all test statistics
(max-T; Romano and Wolf, JASA 100, 2005), which would hold even for a selection on test.

What the signs cannot repeat is a sampler's next proposal: candidates count as given. D datasets, K candidates.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from dualpt.sweeps.comparison.statistics import EXACT_DATASETS, RESAMPLES, rounded
from dualpt.sweeps.comparison.values import Array


@dataclass(frozen=True)
class Contender:
    """One side of a comparison, with what it was selected from."""

    tests: Array
    """(K, D): each candidate's test result per dataset, the selected one's first. Where candidates were not judged on
    a dataset, the selected one's stands for all: nothing of it was seen in selecting."""
    validation: Array
    """(K, D): each candidate's mean validation accuracy per dataset; 0 on datasets that did not select. Their level on
    a dataset does not matter, only how candidates differ."""

    @classmethod
    def unsearched(cls, tests: Array) -> "Contender":
        """A method that was not selected, from its test results (D,)."""
        return cls(tests[None], np.zeros((1, len(tests))))


def reselected_p(one: Contender, other: Contender) -> float:
    """Two-sided p of the difference between two methods over datasets, either or both of which were selected.

    Never below the p of the same difference without a search. Repeating the selection can give less, where candidates
    that other signs select do worse on test; a larger p holds the level too, and a correction only ever raises p.

    All patterns of signs are counted up to `statistics.EXACT_DATASETS` datasets, else `statistics.RESAMPLES` random
    ones and the observed.
    """
    flips = sign_patterns(one.tests.shape[1])
    chosen = np.stack([(flips @ side.validation.T).round(9).argmax(axis=1) for side in (one, other)], axis=1)
    pairs, which = np.unique(chosen, axis=0, return_inverse=True)
    signed = np.stack([signed_ranks(one.tests[i] - other.tests[j]) for i, j in pairs])
    which = which.ravel()
    repeated = np.abs((flips * signed[which]).sum(axis=1))
    unsearched = np.abs(flips @ signed[which[0]])
    return max(float(np.mean(away >= repeated[0] - 1e-9)) for away in (repeated, unsearched))


def signed_ranks(differences: Array) -> Array:
    """Ranks of the absolute differences (D,) with their signs, 0 for zeros, which take part in the ranking."""
    known = rounded(differences)
    return np.asarray(np.sign(known) * stats.rankdata(np.abs(known)), dtype=np.float64)


def sign_patterns(n_datasets: int) -> Array:
    """(patterns, D) of 1 and -1, the observed one (all 1) first."""
    if n_datasets <= EXACT_DATASETS:
        return np.asarray(1 - 2 * ((np.arange(2**n_datasets)[:, None] >> np.arange(n_datasets)) & 1), np.float64)
    drawn = np.random.default_rng(0).choice([1.0, -1.0], size=(RESAMPLES, n_datasets))
    return np.concatenate([np.ones((1, n_datasets)), drawn])
