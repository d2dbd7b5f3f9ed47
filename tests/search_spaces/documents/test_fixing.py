"""Searched keys that the command line fixes leave the search, with all that hangs on them, and it is said."""

from typing import Any

import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import load_sweep


def demo(*words: str) -> LoadedSweep:
    return load_sweep(shipped_or_path("demo"), parse_overrides(list(words)))


def keys(sweep: LoadedSweep) -> set[str]:
    return {parameter.key for parameter in sweep.space}


def test_a_searched_key_is_fixed_and_said() -> None:
    sweep = demo("optim.learning_rate=0.003")
    assert keys(sweep) == keys(demo()) - {"optim.learning_rate"}
    assert sweep.reference.optim.learning_rate == 0.003
    (said,) = sweep.remarks
    assert said.startswith("optim.learning_rate is searched by ")
    assert said.endswith("and fixed here: 0.003")


def test_what_hangs_on_it_goes_too() -> None:
    sweep = demo("alignment.local_form=topk")
    assert keys(demo()) - keys(sweep) == {"alignment.local_form", "alignment.attention_beta"}
    assert sweep.remarks[1] == "alignment.attention_beta is then not searched either: it changes nothing"


def test_a_weight_of_zero_ends_the_search_of_its_form() -> None:
    sweep = demo("alignment.llm_weight=0")
    assert keys(demo()) - keys(sweep) == {"alignment.llm_weight", "alignment.llm_form"}


def test_constraints_and_given_points_follow() -> None:
    product = "prompt.n_prompts * prompt.context_length <= 32"
    constraints = f"search.constraints=['prompt.n_prompts <= 2', '{product}']"
    points = "search.start_from=[{prompt.n_prompts: 1, optim.learning_rate: 0.005}, {prompt.n_prompts: 1}]"
    sweep = demo(constraints, points, "prompt.n_prompts=1")
    assert [constraint.text for constraint in sweep.constraints] == [product]
    assert [start.label for start in sweep.start_points] == ["optim.learning_rate: 0.005"]
    with pytest.raises(UserError, match=r"what the command line fixes violates 'prompt.n_prompts <= 2'"):
        demo(constraints, "prompt.n_prompts=3")


def test_nothing_left_to_search_is_one_line() -> None:
    fixed: dict[str, Any] = {"alignment.llm_weight": 1, "prompt.n_prompts": 1}
    space = "search.space.{}=null"
    others = [space.format(key) for key in keys(demo()) - set(fixed)]
    with pytest.raises(UserError, match=r"fixes .*prompt.n_prompts, and nothing is left to search"):
        demo(*others, *(f"{key}={value}" for key, value in fixed.items()))


def test_an_option_of_a_method_on_frozen_features_too() -> None:
    space = ["search.space={tip-adapter-f.epochs: {int: [9, 20]}, tip-adapter-f.alpha: {float: [1, 3]}}"]
    other = ["method=tip-adapter-f", "baselines=[proker]", "proker.views=0"]
    sweep = demo("search.constraints=[]", "search.start_from=[]", *other, *space, "tip-adapter-f.epochs=15")
    assert keys(sweep) == {"tip-adapter-f.alpha"}
    assert dict(sweep.reference.own)["epochs"] == 15
