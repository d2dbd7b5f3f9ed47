"""Sweep files: what is accepted, and that each fault is one line naming file, key and remedy."""

from pathlib import Path

import pytest

from core.errors import UserError
from search_spaces.parameters import ChoiceParameter, FloatParameter, IntParameter
from search_spaces.sweep_file import load_sweep
from search_spaces.yaml_reader import parse_overrides, parse_value, read_yaml

GOOD = """
name: trial
grid: {datasets: [mini-pets], shots: [1, 16], seeds: [1, 2]}
setting:
  optim: {epochs: 3}
  data.views: 1
baselines: [coop]
search:
  trials: 4
  space:
    alignment.topk: {int: [1, 9], when: {alignment.local_form: topk}}
    optim.learning_rate: {float: [1e-3, 1e-1], log: true}
    alignment.local_form: {choice: [topk, ot]}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def test_reads_typed_parameters_with_conditions_last(good: Path) -> None:
    loaded = load_sweep(good)
    assert [type(p) for p in loaded.space] == [FloatParameter, ChoiceParameter, IntParameter]
    assert loaded.space[0] == FloatParameter("optim.learning_rate", 1e-3, 1e-1, log=True)
    assert loaded.space[2].when == {"alignment.local_form": ("topk",)}
    assert loaded.reference.optim.epochs == 3


def test_overrides_reach_grid_search_and_setting(good: Path) -> None:
    words = ["datasets=[mini-cars]", "trials=9", "optim.learning_rate=1e-2", "data.root=/data", "seeds=5"]
    words.append("search.space.optim.learning_rate={float: [0.1, 0.2]}")
    with pytest.raises(UserError, match="searched and also fixed"):
        load_sweep(good, parse_overrides(words))
    words.remove("optim.learning_rate=1e-2")
    file = load_sweep(good, parse_overrides(words)).file
    assert file.grid.datasets == ["mini-cars"]
    assert file.grid.seeds == [5]
    assert file.search is not None
    assert file.search.trials == 9
    assert file.setting["data.root"] == "/data"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.learning_rat=1", "did you mean 'optim.learning_rate'?"),
        ("search.trial=3", "did you mean 'trials'?"),
        ("datasetz=[mini]", "did you mean 'datasets'?"),
        ("prompt.n_prompts=two", "prompt.n_prompts: input should be a valid integer"),
        ("prompt.n_prompts=0", "greater than or equal to 1"),
        ("prompt.n_prompts=true", "prompt.n_prompts: input should be a valid integer"),
        ("protocol=many-shot", "grid.protocol: input should be 'few-shot' or 'base-to-new'"),
        ("seeds=[1, 1]", "without repeats"),
        ("seeds=[]", "grid.seeds"),
        ("shots=[0]", "grid.shots.0: input should be greater than or equal to 1"),
        ("baselines=[cop]", "did you mean 'coop'?"),
        ("search.objective=test/accuracy", "may not steer a search"),
        ("search.objective=harmonic_mean", "may not steer a search"),
        ("search.space.alignment.llm_weight={float: [3, 1]}", "bounds are reversed"),
        ("search.space.alignment.llm_weight={float: [-1, 1]}", "greater than or equal to 0"),
        ("search.space.alignment.llm_weight={float: [0, 1], log: true}", "log needs low > 0"),
        ("search.space.alignment.llm_weight={flaot: [0, 1]}", "did you mean 'float'?"),
        ("search.space.alignment.llm_weight={float: [0, 1], int: [0, 1]}", "exactly one of float, int, choice"),
        ("search.space.alignment.llm_weight={float: 3}", "needs a list"),
        ("search.space.prompt.n_prompts={int: [1.5, 3]}", "two int numbers"),
        ("search.space.alignment.lm_form={choice: [a]}", "did you mean 'alignment.llm_form'?"),
        ("search.space.alignment.llm_form={choice: [cosin]}", "'cosine'"),
        ("search.space.alignment.llm_form={choice: [cosine, cosine]}", "given twice"),
        ("search.space.data.root={choice: [a, b]}", "a location is not searchable"),
        ("search.space.data.shots={int: [0, 4]}", "whole numbers of at least 1"),
        ("search.space.alignment.topk={int: [1, 9], when: {alignment.local_form: uniform}}", "is never uniform"),
        ("search.space.alignment.topk={int: [1, 9], when: {alignment.form: topk}}", "unknown key"),
        ("search.space.alignment.attention_beta={float: [1, 9]}", "changes nothing"),
        ("name=a/b", "name"),
        ("nonsense", "not of the form key=value"),
    ],
)
def test_each_fault_is_one_line(good: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_sweep(good, parse_overrides([override]))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "bad.yaml:1"),
        ("- a\n- b", "expected a mapping"),
        ("name: a\nname: b", "bad.yaml:2: key 'name' is given twice"),
        ("name: a", "nothing to run"),
        ("nam: a", "did you mean 'name'?"),
        ("name: a\nprompt: {n_prompts: 2}\nbaselines: [coop]", "did you mean 'setting.prompt'?"),
        ("baselines: [coop]", "name: field required"),
        ("name: a\nsearch: {space: {}}", "search.space"),
    ],
)
def test_each_broken_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_sweep(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
        read_yaml(tmp_path / "none.yaml")


def test_numbers_are_read_as_researchers_write_them() -> None:
    assert parse_value("1e-3") == 1e-3
    assert parse_value("-2E5") == -2e5
    assert parse_value("16") == 16
    assert isinstance(parse_value("16"), int)
    assert parse_value("[1, 2]") == [1, 2]
    assert parse_value("null") is None
    assert parse_value("mini-pets") == "mini-pets"


def test_shots_cannot_be_fixed_and_searched(good: Path) -> None:
    load_sweep(good, parse_overrides(["search.space.data.shots={choice: [1, 4]}"]))
    with pytest.raises(UserError, match="exclude each other"):
        load_sweep(good, parse_overrides(["search.space.data.shots={choice: [1, 4]}", "search.shots=[1]"]))


def test_every_shipped_file_loads() -> None:
    import search_spaces

    shipped = sorted(Path(search_spaces.__path__[0]).glob("*.yaml"))
    assert shipped
    for path in shipped:
        assert load_sweep(path).file.description, f"{path.name} lacks a description"
