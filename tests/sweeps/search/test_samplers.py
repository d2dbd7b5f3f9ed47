"""Every sampler of the search section has one of Optuna's, and no other word is searched at random."""

from typing import Any, get_args

import pytest
from optuna.samplers import BaseSampler, RandomSampler

from dualpt.search_spaces.search_section import Sampler, Search
from dualpt.sweeps.search.samplers import sampler_of


def made(sampler: Any) -> BaseSampler:
    search = Search.model_construct(sampler=sampler, seed=0, trials=10)
    return sampler_of(search, number=1, multivariate=False)


def test_each_has_its_own() -> None:
    kinds = {name: type(made(name)) for name in get_args(Sampler) if name != "grid"}
    assert len(set(kinds.values())) == len(kinds)
    assert [name for name, kind in kinds.items() if kind is RandomSampler] == ["random"]


def test_a_grid_is_listed_and_never_sampled() -> None:
    with pytest.raises(ValueError, match="points are listed"):
        made("grid")


def test_one_that_is_not_written_down_is_an_error() -> None:
    with pytest.raises(AssertionError, match="qmc"):
        made("qmc")
