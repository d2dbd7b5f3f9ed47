"""Every sampler of the search section has one of Optuna's, and no other word is searched at random."""

from typing import Any

import pytest
from optuna.samplers import BaseSampler, RandomSampler

from dualpt.search_spaces.samplers import SAMPLERS
from dualpt.search_spaces.search_section import Search
from dualpt.sweeps.search.samplers import sampler_of


def made(sampler: Any) -> BaseSampler:
    search = Search.model_construct(sampler=sampler, seed=0, trials=10)
    return sampler_of(search, number=1, multivariate=False)


def test_each_has_its_own() -> None:
    kinds = {name: type(made(name)) for name, can in SAMPLERS.items() if not can.lists_points}
    assert len(set(kinds.values())) == len(kinds)
    assert [name for name, kind in kinds.items() if kind is RandomSampler] == ["random"]


@pytest.mark.parametrize("name", [name for name, can in SAMPLERS.items() if can.lists_points])
def test_one_that_lists_its_points_has_none(name: str) -> None:
    with pytest.raises(ValueError, match="lists its points"):
        made(name)


def test_one_that_is_not_written_down_is_an_error() -> None:
    with pytest.raises(AssertionError, match="quasi"):
        made("quasi")
