"""How often a page of tables over five numbers of shots, on which nothing is true, makes any claim.

    python -m benchmarks.null_pages                  the lines of docs/ablations.md and docs/comparing.md; a few minutes

Every method of a comparison, and every run of a factorial ablation, is worth the same on average over datasets. What
they differ in is chance, with the spread of real cells, as in `benchmarks.false_claims`; shots are drawn apart.
"""

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np

from benchmarks.false_claims import DATASETS, SEEDS, Array, Spread, heavy_tailed, normal, recorded_spread, skewed
from dualpt.search_spaces.designs import Factor
from dualpt.sweeps.comparison.effects import corrected_together, effects_of
from dualpt.sweeps.comparison.statistics import claim, compare_paired
from dualpt.sweeps.comparison.statistics import corrected_together as corrected_comparisons

SHOTS = 5
METHODS = 6
FACTORS = tuple(Factor(name, {"off": {}, "on": {}}, "off") for name in ("a", "b", "c"))
Draw = Callable[..., Array]


def null_values(random: np.random.Generator, spread: Spread, draw: Draw) -> Array:
    """(D, S): accuracies of something that is worth what all others are worth."""
    return spread.fit * draw(random, (DATASETS, 1)) + spread.cell * draw(random, (DATASETS, SEEDS))


def comparison_claims(random: np.random.Generator, spread: Spread, draw: Draw) -> bool:
    """Whether any of the methods is called better or worse than the baseline, at any number of shots."""
    page = []
    for _ in range(SHOTS):
        values = {f"m{i}": null_values(random, spread, draw) for i in range(METHODS)}
        page.append(compare_paired(values, null_values(random, spread, draw)))
    paired = [one for at_shots in corrected_comparisons(page) for one in at_shots.values()]
    return any(claim(one.interval, one.holm) == "yes" for one in paired)


def ablation_claims(random: np.random.Generator, spread: Spread, draw: Draw) -> bool:
    """Whether any effect or interaction of a 2 × 2 × 2 design is called real, at any number of shots."""
    levels = [
        dict(zip((factor.name for factor in FACTORS), chosen, strict=True))
        for chosen in product(*(factor.levels for factor in FACTORS))
    ]
    page = [effects_of([(run, null_values(random, spread, draw)) for run in levels], FACTORS, {}) for _ in range(SHOTS)]
    effects = [effect for at_shots in corrected_together(page) for effect in at_shots]
    return any(claim(effect.interval, effect.holm) == "yes" for effect in effects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=500)
    pages = parser.parse_args().pages
    spread = recorded_spread()
    print(
        f"spread: setting by dataset {spread.fit:.2f}, cell {spread.cell:.2f} points; {pages} pages of {SHOTS} tables"
    )
    print("| spread of chance | comparison of six methods | 2 × 2 × 2 ablation |\n|---|---|---|")
    for name, draw in (("normal", normal), ("heavy tails", heavy_tailed), ("skewed", skewed)):
        rates = []
        for claims in (comparison_claims, ablation_claims):
            random = np.random.default_rng(0)
            rates.append(sum(claims(random, spread, draw) for _ in range(pages)) / pages)
        print(f"| {name} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |", flush=True)


if __name__ == "__main__":
    main()
