"""How often a search among worthless candidates ends in a claim, by each correction for the search.

    python -m benchmarks.statistics.false_claims               the table of docs/protocols.md; five minutes
    python -m benchmarks.statistics.false_claims --pages 200   pages of tables over five numbers of shots; half an hour

Every candidate is worth what the baseline is worth: on average over datasets their accuracies are the same. What they
differ in is chance, with the spread of real cells (benchmarks/data/mini-racing.csv: 96 settings, eleven datasets, two
seeds): how a setting suits a dataset, and what a training draw and its images do. Validation and test accuracy of a
cell share the first and half of the second. The best of the candidates on validation accuracy is then compared with
the baseline on test accuracy, as `dualpt compare` does: a claim needs an interval that excludes 0 and p below 0.05.

On a page, every method of a comparison and every run of a factorial ablation is worth the same; shots are drawn apart.
"""

import argparse
import csv
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualpt.search_spaces.designs import Factor
from dualpt.sweeps.comparison.effects import corrected_together, effects_of
from dualpt.sweeps.comparison.searched.reselection import Contender, reselected_p, sign_patterns, signed_ranks
from dualpt.sweeps.comparison.statistics import claim, compare_paired, hierarchical_interval, wilcoxon
from dualpt.sweeps.comparison.statistics import corrected_together as corrected_comparisons

Array = NDArray[np.float64]

RECORDED = Path(__file__).parents[1] / "data" / "mini-racing.csv"
DATASETS, SEEDS = 11, 3
RANDOM_STARTS = 10
LIKENESS = 0.8
"""Correlation of a proposal with the candidate that it was made from."""
SHOTS, METHODS = 5, 6
"""Of a page: its tables, and what each compares with a baseline."""
FACTORS = tuple(Factor(name, {"off": {}, "on": {}}, "off") for name in ("a", "b", "c"))


class Spread(NamedTuple):
    """Standard deviations, in points of accuracy."""

    fit: float
    """Of how a setting suits a dataset."""
    cell: float
    """Of one cell around that."""


class Search(NamedTuple):
    """Differences to the baseline, (candidates, datasets, seeds)."""

    validation: Array
    test: Array


def recorded_spread(path: Path = RECORDED) -> Spread:
    """Both components from settings × datasets × seeds, after the means of settings and of (dataset, seed)."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    axes = [sorted({row[name] for row in rows}) for name in ("setting", "dataset", "seed")]
    places = [{value: place for place, value in enumerate(axis)} for axis in axes]
    values = np.full([len(axis) for axis in axes], np.nan)
    for row in rows:
        at = tuple(place[row[name]] for place, name in zip(places, ("setting", "dataset", "seed"), strict=True))
        values[at] = float(row["val_accuracy"])
    values -= values.mean(axis=0)
    values -= values.mean(axis=(1, 2), keepdims=True)
    cell = values.var(axis=2, ddof=1).mean()
    fit = max(0.0, values.mean(axis=2).var() - cell / values.shape[2])
    return Spread(float(np.sqrt(fit)), float(np.sqrt(cell)))


def null_search(
    random: np.random.Generator, candidates: int, spread: Spread, draw: Callable[..., Array], learns: bool
) -> Search:
    """Candidates that are worth what the baseline is worth.

    Args:
        draw: standard deviates of a shape.
        learns: after `RANDOM_STARTS` independent candidates, each is like the one with the highest validation accuracy
            so far, as a sampler that learns proposes them.
    """
    shape = (candidates + 1, DATASETS, SEEDS)  # the baseline is the first of them
    fit = spread.fit * draw(random, shape[:2])[..., None]
    shared, *own = (spread.cell * np.sqrt(0.5) * draw(random, shape) for _ in range(3))
    parts = np.stack([fit + np.zeros(shape), shared, *own])
    for place in range(1 + RANDOM_STARTS, candidates + 1) if learns else ():
        best = 1 + int(parts[:3, 1:place].sum(axis=0).mean(axis=(1, 2)).argmax())
        parts[:, place] = np.sqrt(LIKENESS) * parts[:, best] + np.sqrt(1 - LIKENESS) * parts[:, place]
    values = [parts[:3].sum(axis=0), parts[[0, 1, 3]].sum(axis=0)]
    return Search(*(one[1:] - one[0] for one in values))


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return random.normal(size=shape)


def heavy_tailed(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Student's t with 3 degrees of freedom, scaled to variance 1."""
    return random.standard_t(3, size=shape) / np.sqrt(3)


def skewed(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Exponential, centred: what the test assumes least."""
    return random.exponential(size=shape) - 1


def uncorrected(search: Search, selected: int) -> float:
    """As if the candidate had been the only one."""
    return wilcoxon(search.test[selected].mean(axis=1))


def bonferroni(search: Search, selected: int) -> float:
    return min(1.0, len(search.test) * uncorrected(search, selected))


def max_t(search: Search, selected: int) -> float:
    """Against the largest statistic of all candidates under each pattern of signs."""
    signed = np.stack([signed_ranks(one.mean(axis=1)) for one in search.test])
    away = np.abs(sign_patterns(DATASETS) @ signed.T)
    return float(np.mean(away.max(axis=1) >= away[0, selected] - 1e-9))


def reselection(search: Search, selected: int) -> float:
    order = [selected, *(c for c in range(len(search.test)) if c != selected)]
    means = [values.mean(axis=2)[order] for values in (search.test, search.validation)]
    return reselected_p(Contender(*means), Contender.unsearched(np.zeros(DATASETS)))


CORRECTIONS: Mapping[str, Callable[[Search, int], float]] = {
    "none": uncorrected,
    "Bonferroni": bonferroni,
    "max-T": max_t,
    "reselection": reselection,
}


def claim_rates(
    searches: int,
    candidates: int,
    spread: Spread,
    draw: Callable[..., Array],
    *,
    worth: float = 0.0,
    learns: bool = False,
    seed: int = 0,
) -> dict[str, float]:
    """Share of searches that end in the claim that the selected candidate is better, by correction.

    Args:
        learns: as in `null_search`.
        worth: what every candidate is truly above the baseline, in points; claims are then right.
    """
    random, claims = np.random.default_rng(seed), dict.fromkeys(CORRECTIONS, 0)
    for _ in range(searches):
        search = null_search(random, candidates, spread, draw, learns)
        search = Search(search.validation + worth, search.test + worth)
        selected = int(search.validation.mean(axis=(1, 2)).argmax())
        interval = hierarchical_interval(search.test[selected])
        better = search.test[selected].mean() > 0
        for name, corrected in CORRECTIONS.items():
            claims[name] += better and claim(interval, corrected(search, selected)) == "yes"
    return {name: count / searches for name, count in claims.items()}


def null_values(random: np.random.Generator, spread: Spread, draw: Callable[..., Array]) -> Array:
    """(D, S): accuracies of something that is worth what all others are worth."""
    return spread.fit * draw(random, (DATASETS, 1)) + spread.cell * draw(random, (DATASETS, SEEDS))


def comparison_claims(random: np.random.Generator, spread: Spread, draw: Callable[..., Array]) -> bool:
    """Whether any of the methods is called better or worse than the baseline, at any number of shots."""
    page = []
    for _ in range(SHOTS):
        values = {f"m{i}": null_values(random, spread, draw) for i in range(METHODS)}
        page.append(compare_paired(values, null_values(random, spread, draw)))
    paired = [one for at_shots in corrected_comparisons(page) for one in at_shots.values()]
    return any(claim(one.interval, one.holm) == "yes" for one in paired)


def ablation_claims(random: np.random.Generator, spread: Spread, draw: Callable[..., Array]) -> bool:
    """Whether any effect or interaction of a 2 × 2 × 2 design is called real, at any number of shots."""
    levels = [
        dict(zip((factor.name for factor in FACTORS), chosen, strict=True))
        for chosen in product(*(factor.levels for factor in FACTORS))
    ]
    page = [effects_of([(run, null_values(random, spread, draw)) for run in levels], FACTORS, {}) for _ in range(SHOTS)]
    effects = [effect for at_shots in corrected_together(page) for effect in at_shots]
    return any(claim(effect.interval, effect.holm) == "yes" for effect in effects)


def false_pages(pages: int, spread: Spread) -> None:
    """Print the share of pages with any claim, by the spread of chance."""
    print("| spread of chance | comparison of six methods | 2 × 2 × 2 ablation |\n|---|---|---|")
    for name, draw in (("normal", normal), ("heavy tails", heavy_tailed), ("skewed", skewed)):
        rates = []
        for claims in (comparison_claims, ablation_claims):
            random = np.random.default_rng(0)
            rates.append(sum(claims(random, spread, draw) for _ in range(pages)) / pages)
        print(f"| {name} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=2000)
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--pages", type=int, help="instead: simulated pages of tables on which nothing is true")
    options = parser.parse_args()
    spread = recorded_spread()
    if options.pages is not None:
        false_pages(options.pages, spread)
        return
    print(f"spread: setting by dataset {spread.fit:.2f}, cell {spread.cell:.2f} points; {options.searches} searches")
    print("| search | " + " | ".join(CORRECTIONS) + " |")
    print("|---|" + "---|" * len(CORRECTIONS))
    n = options.candidates
    rows: list[tuple[str, int, Callable[..., Array], dict[str, Any]]] = [
        ("a single candidate", 1, normal, {}),
        (f"{n} candidates", n, normal, {}),
        (f"{n} candidates, heavy tails", n, heavy_tailed, {}),
        (f"{n} candidates, skewed", n, skewed, {}),
        (f"{n} candidates, the sampler learns", n, normal, {"learns": True}),
        (f"{n} candidates that are 4 points better", n, normal, {"worth": 4.0}),
    ]
    for name, candidates, draw, more in rows:
        rates = claim_rates(options.searches, candidates, spread, draw, **more)
        print(f"| {name} | " + " | ".join(f"{rate:.1%}" for rate in rates.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
