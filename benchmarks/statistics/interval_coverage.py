"""How often the interval of a difference holds the true difference.

    python -m benchmarks.statistics.interval_coverage     the table of docs/protocols.md; some minutes on one core

Two methods are worth the same on average over datasets, and differ on each by chance with the spread of real cells
(`false_claims`): how a method suits a dataset, and what a draw and its training do. The interval is the one that
`dualpt compare --baseline` prints, of 95 %, and the true difference is 0.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.false_claims import Spread, heavy_tailed, normal, recorded_spread
from dualpt.sweeps.comparison.statistics import hierarchical_interval

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

DATASETS = (4, 8, 11)
SEEDS = (1, 3, 10)


def tied(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Normal deviates in steps of a half: many differences are equal, and many are 0."""
    return np.round(2 * random.normal(size=shape)) / 2


SHAPES: dict[str, Draw] = {"normal": normal, "heavy tails": heavy_tailed, "ties and zeros": tied}


def coverage(comparisons: int, datasets: int, seeds: int, spread: Spread, draw: Draw, seed: int = 0) -> float:
    """Share of simulated comparisons whose interval holds 0."""
    random, held = np.random.default_rng(seed), 0
    for _ in range(comparisons):
        fit, cell = draw(random, (2, datasets, 1)), draw(random, (2, datasets, seeds))
        one, other = spread.fit * fit + spread.cell * cell
        interval = hierarchical_interval(one - other)
        held += interval.low <= 0 <= interval.high
    return held / comparisons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=4000)
    options = parser.parse_args()
    spread = recorded_spread()
    components = f"method by dataset {spread.fit:.2f}, cell {spread.cell:.2f} points"
    print(f"spread: {components}; {options.comparisons} comparisons")
    print("| datasets | seeds | " + " | ".join(SHAPES) + " |")
    print("|---" * (2 + len(SHAPES)) + "|")
    for datasets in DATASETS:
        for seeds in SEEDS:
            rates = [coverage(options.comparisons, datasets, seeds, spread, draw) for draw in SHAPES.values()]
            print(f"| {datasets} | {seeds} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |", flush=True)


if __name__ == "__main__":
    main()
