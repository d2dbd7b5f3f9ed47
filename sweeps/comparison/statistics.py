"""What can be claimed from paired results: intervals, tests over datasets, ranks. By NumPy and SciPy.

A method's results are an array (D, S): D datasets, S seeds. Datasets are what a claim generalises over, so tests take
one number per dataset; seeds are repeated measurements within it. Seeds of different datasets draw different images, so
they count as nested in datasets.

Sources: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006 (Wilcoxon, Friedman,
Nemenyi); Holm, Scandinavian Journal of Statistics 6, 1979; Iman and Davenport, Communications in Statistics 9, 1980;
Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8 (nested resampling); Bouthillier et al.,
Accounting for Variance in Machine Learning Benchmarks, MLSys 2021 (probability of being better).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import stats

from dualpt.sweeps.comparison.values import Array

RESAMPLES = 10_000
LEVEL = 0.95
"""Coverage of intervals; tests are read at 1 - LEVEL."""
EXACT_DATASETS = 16
"""Up to so many datasets (65,536 sign patterns) Wilcoxon's p is exact whatever ties there are."""


@dataclass(frozen=True)
class Interval:
    low: float
    high: float

    def text(self, digits: int = 1) -> str:
        """`[-0.3, +1.2]`"""
        return f"[{self.low:+.{digits}f}, {self.high:+.{digits}f}]"

    def __str__(self) -> str:
        return self.text()


Claim = Literal["yes", "perhaps", "no"]


def claim(interval: Interval, corrected_p: float) -> Claim:
    """Whether a difference can be claimed: interval and corrected test must both say so; `perhaps` where one does."""
    apart = interval.low > 0 or interval.high < 0
    tested = corrected_p < 1 - LEVEL
    return "yes" if apart and tested else "perhaps" if apart or tested else "no"


@dataclass(frozen=True)
class PairedResult:
    """A method compared with a baseline, in the metric's unit."""

    difference: float
    """Mean over datasets of the mean over seeds."""
    interval: Interval
    """Hierarchical bootstrap of the difference: datasets, then seeds within each."""
    higher: int
    """Datasets whose mean over seeds is higher."""
    lower: int
    better: float
    """Share of (dataset, seed) pairs in which the method is better; ties count half."""
    better_interval: Interval
    p: float
    """Two-sided Wilcoxon signed-rank test over datasets."""
    search_p: float
    """`p` corrected for the search that selected one of the two; `p` where none did."""
    holm: float
    """`search_p` corrected for the number of comparisons that are read together."""


@dataclass(frozen=True)
class Ranks:
    """Friedman's test over datasets and Nemenyi's critical difference."""

    methods: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    """1 is best; in the order of `methods`."""
    n: int
    """Datasets."""
    chi_square: float
    p: float
    """Of Friedman's statistic, corrected for ties."""
    f: float
    """Iman and Davenport's F, which is less conservative; infinite where all datasets agree."""
    f_p: float
    critical_difference: float
    """Mean ranks closer than this are not told apart."""

    @property
    def has_f(self) -> bool:
        """Whether F is finite: where all datasets agree it isn't, be they two or fifty, and its p is 0."""
        return math.isfinite(self.f)

    @property
    def together_p(self) -> float:
        """By which all methods are told apart: F's, or Friedman's where F is infinite."""
        return self.f_p if self.has_f else self.p

    def groups(self) -> list[tuple[str, ...]]:
        """The largest sets of methods that are not told apart, from the best rank on."""
        order = sorted(zip(self.mean_ranks, self.methods, strict=True))
        found: list[tuple[str, ...]] = []
        for start, (rank, _) in enumerate(order):
            group = tuple(name for other, name in order[start:] if other - rank <= self.critical_difference)
            if len(group) > 1 and not any(set(group) <= set(larger) for larger in found):
                found.append(group)
        return found


def compare_paired(
    results: Mapping[str, Array], baseline: Array, *, lower_is_better: bool = False, seed: int = 0
) -> dict[str, PairedResult]:
    """Compare methods with a baseline.

    Args:
        results: method -> (D, S) values of a metric, complete.
        baseline: (D, S).
        lower_is_better: which way `PairedResult.better` counts.
        seed: of the bootstrap.
    """
    differences = {method: rounded(values - baseline) for method, values in results.items()}
    ps = {method: wilcoxon(difference.mean(axis=1)) for method, difference in differences.items()}
    corrected = dict(zip(ps, holm(list(ps.values())), strict=True))
    found = {}
    for method, difference in differences.items():
        by_dataset = rounded(difference.mean(axis=1))
        better = _better(-difference if lower_is_better else difference)
        found[method] = PairedResult(
            difference=float(by_dataset.mean()),
            interval=hierarchical_interval(difference, seed=seed),
            higher=int((by_dataset > 0).sum()),
            lower=int((by_dataset < 0).sum()),
            better=float(better.mean()),
            better_interval=hierarchical_interval(better, seed=seed),
            p=ps[method],
            search_p=ps[method],
            holm=corrected[method],
        )
    return found


def corrected_together(families: Sequence[Mapping[str, PairedResult]]) -> list[dict[str, PairedResult]]:
    """The same comparisons, with Holm's correction over all of them: as one family, where they are read together."""
    corrected = iter(holm([found.search_p for family in families for found in family.values()]))
    return [{method: replace(found, holm=next(corrected)) for method, found in family.items()} for family in families]


def rounded(values: Array) -> Array:
    """Equal accuracies, ratios of counts, may differ in their last bits: that is neither higher nor lower."""
    return np.round(values, 9)


def _better(difference: Array) -> Array:
    """1 where the difference is above 0, 0.5 where it is 0, else 0."""
    return np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))


def hierarchical_interval(values: Array, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Percentile interval of a mean over datasets and seeds: datasets are resampled, then seeds within each.

    Args:
        values: (D, S).
    """
    means = _draws(*values.shape, seed, resamples) @ values.ravel()
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


@lru_cache(maxsize=8)
def _draws(n_datasets: int, n_seeds: int, seed: int, resamples: int) -> Array:
    """(resamples, D * S): the share of each value in each resampled mean; one set of draws serves all methods."""
    generator = np.random.default_rng(seed)
    datasets = generator.integers(n_datasets, size=(resamples, n_datasets, 1))
    seeds = generator.integers(n_seeds, size=(resamples, n_datasets, n_seeds))
    drawn = (datasets * n_seeds + seeds).reshape(resamples, -1)
    n_values = n_datasets * n_seeds
    places = drawn + n_values * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=resamples * n_values).reshape(resamples, n_values) / n_values


def wilcoxon(differences: Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; zeros are split between both signs, as Demšar does.

    Exact by all sign patterns up to `EXACT_DATASETS` datasets, else the normal approximation. 1 where all are zero.
    """
    known = rounded(differences)
    if not np.any(known):
        return 1.0
    if len(known) > EXACT_DATASETS:
        return float(stats.wilcoxon(known, zero_method="zsplit", method="approx").pvalue)
    ranks = stats.rankdata(np.abs(known))[known != 0]  # half of a zero's rank goes to either side, whatever happens
    patterns = (np.arange(2 ** len(ranks))[:, None] >> np.arange(len(ranks))) & 1
    away = np.abs(patterns @ ranks - ranks.sum() / 2)
    observed = abs(ranks[known[known != 0] > 0].sum() - ranks.sum() / 2)
    return float(np.mean(away >= observed - 1e-9))


def smallest_p(n_datasets: int) -> float:
    """The least two-sided p that Wilcoxon's test can give: all differences of one sign."""
    return min(1.0, 2.0 ** (1 - n_datasets))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction: probabilities to be compared with the level as they are.

    The numbers are those of statsmodels' `multipletests`, which collects all garbage each time: up to a second.
    """
    order = np.argsort(ps)
    steps = np.asarray(ps, dtype=np.float64)[order] * np.arange(len(ps), 0, -1)
    corrected = np.empty(len(ps))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in corrected]


def rank_methods(results: Mapping[str, Array], *, lower_is_better: bool = False) -> Ranks:
    """Rank methods on each dataset by their mean over seeds; Friedman's test and Nemenyi's critical difference.

    Args:
        results: method -> (D, S), complete; at least three methods.
    """
    methods = tuple(results)
    means = rounded(np.stack([values.mean(axis=1) for values in results.values()], axis=1))
    return rank_accuracies(methods, -means if lower_is_better else means)


def rank_accuracies(methods: Sequence[str], accuracies: Array) -> Ranks:
    """`rank_methods` from accuracies (D, M)."""
    n, k = accuracies.shape
    ranks = stats.rankdata(-accuracies, axis=1)
    chi_square, p = stats.friedmanchisquare(*accuracies.T) if np.ptp(ranks) else (0.0, 1.0)
    denominator = n * (k - 1) - chi_square
    f = math.inf if denominator < 1e-9 else (n - 1) * chi_square / denominator
    return Ranks(
        methods=tuple(methods),
        mean_ranks=tuple(float(rank) for rank in ranks.mean(axis=0)),
        n=n,
        chi_square=float(chi_square),
        p=float(p),
        f=float(f),
        f_p=float(stats.f.sf(f, k - 1, (k - 1) * (n - 1))),
        critical_difference=nemenyi_critical_difference(k, n),
    )


def nemenyi_critical_difference(n_methods: int, n_datasets: int, alpha: float = 1 - LEVEL) -> float:
    """CD = q sqrt(k (k + 1) / 6N), with q the studentised range over sqrt(2) (Demšar, section 3.2.2)."""
    q = stats.studentized_range.ppf(1 - alpha, n_methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_datasets)))
