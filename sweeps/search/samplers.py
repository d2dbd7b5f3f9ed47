"""Optuna's samplers by name, each seeded for the proposal it makes: the same history gives the same proposal."""

import warnings
from typing import assert_never

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from dualpt.search_spaces.search_section import Search

FEWEST_RANDOM = 3
MOST_RANDOM = 10
"""Random candidates before a model steers; a third of the budget in between: fewer trials are all random otherwise."""
POPULATION = (4, 50)
"""Least and most candidates of an NSGA-II generation; a fifth of the budget in between."""


def sampler_of(search: Search, *, number: int, multivariate: bool) -> BaseSampler:
    """The sampler of the next proposal.

    Each proposal has a new sampler, which reads what it knows from the study: a resumed search goes on like one that
    was never stopped. tpe and random model parameters with a condition; gp and cmaes draw them at random, and cmaes
    all choices too.

    Args:
        search: the search section.
        number: number of the proposal; seeds it.
        multivariate: whether TPE models parameters jointly.

    Raises:
        ValueError: the sampler lists its points itself (`dualpt.search_spaces.listed_points`).
    """
    seed = search.seed * 100_003 + number
    startup = max(FEWEST_RANDOM, min(MOST_RANDOM, search.trials // 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match search.sampler:
            case "gp":
                return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
            case "cmaes":
                return CmaEsSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
            case "nsga2":
                least, most = POPULATION
                return NSGAIISampler(seed=seed, population_size=max(least, min(most, search.trials // 5)))
            case "tpe":
                return TPESampler(seed=seed, n_startup_trials=startup, multivariate=multivariate, constant_liar=True)
            case "random":
                return RandomSampler(seed)
            case "grid" | "qmc":
                raise ValueError(f"{search.sampler} lists its points; Optuna proposes none")
            case _:
                assert_never(search.sampler)
