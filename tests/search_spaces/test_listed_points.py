"""Samplers that list their points: a Sobol' sequence is even, honours conditions and constraints, and ends."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest

from dualpt.search_spaces.listed_points import grid_points, listed_points, sobol_points, value_at
from dualpt.search_spaces.parameters import parse_parameter
from dualpt.search_spaces.samplers import SAMPLERS
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep

WEIGHT, COUNT = "alignment.llm_weight", "prompt.n_prompts"


def searched(space: dict[str, Any], **search: Any) -> LoadedSweep:
    return check_sweep({"name": "s", "search": {"sampler": "qmc", "space": space, **search}}, "test")


def test_any_power_of_two_of_points_is_even_in_each_parameter_and_in_pairs() -> None:
    space = {WEIGHT: {"float": [0, 8]}, "inference.local_weight": {"float": [0, 8]}}
    for seed in range(5):
        points = list(islice(sobol_points(searched(space, seed=seed)), 16))
        for parameter in space:
            assert sorted(int(2 * point[parameter]) for point in points) == list(range(16))
        cells = Counter(tuple(int(point[parameter] / 2) for parameter in space) for point in points)
        assert set(cells.values()) == {1}, "each of the 4 x 4 squares has one"


def test_choices_and_whole_numbers_come_equally_often() -> None:
    space = {COUNT: {"int": [1, 4]}, "alignment.local_form": {"choice": ["topk", "ot"]}, WEIGHT: {"float": [1, 2]}}
    points = list(islice(sobol_points(searched(space)), 32))
    assert Counter(point[COUNT] for point in points) == dict.fromkeys(range(1, 5), 8)
    assert Counter(point["alignment.local_form"] for point in points) == {"topk": 16, "ot": 16}


def test_conditions_and_constraints_hold() -> None:
    space = {
        WEIGHT: {"float": [0.1, 30], "log": True},
        "alignment.local_form": {"choice": ["topk", "ot"]},
        "alignment.topk": {"int": [1, 9], "when": {"alignment.local_form": "topk"}},
        COUNT: {"int": [1, 4]},
    }
    points = list(islice(sobol_points(searched(space, constraints=[f"{WEIGHT} * {COUNT} <= 20"])), 64))
    assert all(point[WEIGHT] * point[COUNT] <= 20 for point in points)
    assert all(("alignment.topk" in point) == (point["alignment.local_form"] == "topk") for point in points)


def test_a_small_space_is_listed_to_its_end_and_no_setting_twice() -> None:
    space = {COUNT: {"int": [1, 4]}, WEIGHT: {"float": [0, 1], "step": 0.25}}
    sweep = searched(space)
    points = list(sobol_points(sweep))
    assert len(points) == 20
    assert {tuple(point.items()) for point in points} == {tuple(point.items()) for point in grid_points(sweep)}


@pytest.mark.parametrize(
    ("spec", "ends"),
    [
        ({"float": [0.1, 30]}, (0.1, 30)),
        ({"float": [0.1, 30], "log": True}, (0.1, 30)),
        ({"float": [0, 1], "step": 0.25}, (0, 1)),
        ({"choice": [1.0, 3.0, 2.0]}, (1.0, 2.0)),
    ],
)
def test_shares_reach_both_ends_and_pass_neither(spec: dict[str, Any], ends: tuple[float, float]) -> None:
    parameter = parse_parameter(WEIGHT, spec, "test")
    assert value_at(parameter, 0.0) == pytest.approx(ends[0])
    assert value_at(parameter, 1 - 2**-31) == pytest.approx(ends[1])
    assert parameter.contains(value_at(parameter, 1 - 2**-53))


def test_a_logarithmic_whole_number_has_equal_shares_of_its_logarithm() -> None:
    parameter = parse_parameter(COUNT, {"int": [1, 4], "log": True}, "test")
    values = Counter(value_at(parameter, (i + 0.5) / 9000) for i in range(9000))
    assert values[1] / 9000 == pytest.approx(0.5, abs=1e-3), "log(1.5 / 0.5) of log(4.5 / 0.5)"
    assert set(values) == {1, 2, 3, 4}


@pytest.mark.parametrize("sampler", [name for name, can in SAMPLERS.items() if can.lists_points])
def test_every_sampler_that_lists_its_points_has_a_list(sampler: str) -> None:
    sweep = searched({COUNT: {"int": [1, 2]}, WEIGHT: {"float": [0, 1], "step": 0.5}}, sampler=sampler)
    points = listed_points(sweep)
    assert points is not None
    assert len(list(points)) == 6
