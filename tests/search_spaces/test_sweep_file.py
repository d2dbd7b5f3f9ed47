"""Sweep files: what is accepted, and that each fault is one line naming file, key and remedy."""

from pathlib import Path
from typing import Any

import pytest

from dualpt import search_spaces
from dualpt.core.config.sections import Value
from dualpt.core.errors import UserError
from dualpt.core.files.yaml_reader import read_yaml
from dualpt.core.presets import method_setting
from dualpt.search_spaces.constraints import parse_constraint
from dualpt.search_spaces.listed_points import grid_points
from dualpt.search_spaces.overrides import parse_overrides, parse_value
from dualpt.search_spaces.parameters import ChoiceParameter, FloatParameter, IntParameter
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep, load_sweep
from tests.core.own_method import SOURCE

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


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("draws(10)", list(range(1, 11))), ("1-4", [1, 2, 3, 4]), ("[0, 5-6]", [0, 5, 6]), ("[draws(2)]", [1, 2])],
)
def test_seeds_are_numbers_ranges_or_draws(good: Path, seeds: str, expected: list[int]) -> None:
    assert load_sweep(good, parse_overrides([f"seeds={seeds}"])).file.grid.seeds == expected
    good.write_text(GOOD.replace("seeds: [1, 2]", f"seeds: {seeds}"))
    assert load_sweep(good).file.grid.seeds == expected


def test_a_search_may_judge_on_a_range_of_the_grids_seeds(good: Path) -> None:
    good.write_text(GOOD.replace("seeds: [1, 2]", "seeds: draws(5)").replace("trials: 4", "trials: 4\n  seeds: 1-2"))
    search = load_sweep(good).file.search
    assert search is not None
    assert search.seeds == [1, 2]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ("5-1", "grid.seeds: the range '5-1' runs backwards; write 1-5"),
        ("[1-3, 2]", "without repeats"),
        ("[1-3, x]", "'x' names no seed"),
        ("draws(0)", "draws nothing"),
    ],
)
def test_slips_in_seeds_are_one_line(good: Path, seeds: str, said: str) -> None:
    with pytest.raises(UserError) as fault:
        load_sweep(good, parse_overrides([f"seeds={seeds}"]))
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


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
        ("protocol=many-shot", "grid.protocol: input should be 'few-shot', 'base-to-new'"),
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
        ("search.space.data.draw={choice: [standard, relaxed]}", "a search would choose the easiest"),
        ("search.space.data.shots={int: [0, 4]}", "whole numbers of at least 1"),
        ("search.space.alignment.topk={int: [1, 9], when: {alignment.local_form: uniform}}", "is never uniform"),
        ("search.space.alignment.topk={int: [1, 9], when: {alignment.form: topk}}", "unknown key"),
        ("search.space.alignment.attention_beta={float: [1, 9]}", "changes nothing"),
        ("search.space.alignment.topk={float: [1, 4]}", "alignment.topk: input should be a valid integer"),
        ("search.space.alignment.topk={float: [1, 4], log: true}", "alignment.topk: input should be a valid integer"),
        ("search.space.data.shots={float: [1, 4]}", "search.space.data.shots: shots are whole numbers; use int or"),
        (
            "search.space.prompt.init={choice: [[a], {b: c}]}",
            "search.space.prompt.init: a choice is a word or a number",
        ),
        ("search.space.alignment.topk={int: [1, 9], when: {alignment.local_form: [[topk]]}}", "local_form: expected a"),
        ("search.space.alignment.topk={int: [1, 9], when: {alignment.local_form: []}}", "local_form: expected a value"),
        (
            "method=zero-shot",
            "setting.method: a sweep searches a method that is trained; list others under 'baselines'",
        ),
        ("search.space.method={choice: [prompt]}", "search.space.method: a sweep searches one method; list others"),
        ("search.seeds=[-1]", "search.seeds.0: input should be greater than or equal to 0"),
        ("search.seeds=[1, 1]", "search.seeds: must be a list without repeats"),
        ("search.shots=[]", "search.shots: must be a list without repeats and not empty"),
        ("search.datasets=[]", "search.datasets: must be a list without repeats and not empty"),
        ("seeds=null", "grid.seeds: input should be a valid list"),
        ("search.shots=[2]", "search.shots: 2 not in the grid"),
        ("search.datasets=[mini]", "not in the grid; judge on a part of grid.datasets, or remove search.datasets"),
        ("search.datasets=[mini-pet]", "search.datasets: unknown dataset 'mini-pet'; did you mean 'mini-pets'?"),
        ("search.sampler=tpee", "search.sampler: input should be 'tpe'"),
        ("search.sampler=grid", "search.space.optim.learning_rate: a grid needs values; give the range a step, or"),
        ("search.sampler=cmaes", "search.sampler: cmaes varies int and float parameters without 'when', and needs 2"),
        ("search.space.alignment.llm_weight={float: [0, 1], step: 0.3}", "steps of 0.3 do not lead from 0 to 1"),
        ("search.space.alignment.llm_weight={float: [1, 4], log: true, step: 1}", "log and step exclude each other"),
        ("search.space.prompt.n_prompts={int: [1, 4], step: 0.5}", "n_prompts.step: expected a whole number above 0"),
        ("search.space.prompt.n_prompts={choice: [1, 4], step: 1}", "step applies to float and int, not to choice"),
        ("search.constraints=[alignment.topk < ]", "'alignment.topk <' is not an expression of keys, numbers"),
        ("search.constraints=[alignment.top < 3]", "unknown key 'alignment.top'"),
        ("search.constraints=[alignment.topk * 2]", "'alignment.topk * 2' is neither true nor false"),
        ("search.constraints=[prompt.n_prompts < 2]", "'prompt.n_prompts < 2' names no searched key"),
        ("search.constraints=[alignment.topk < 0]", "none of 5000 random points of the space satisfies"),
        ("search.constraints=[__import__('os').getpid() > 0]", "is not understood; use keys, numbers and words"),
        ("search.constraints=[alignment.topk ** 9 < 3]", "'alignment.topk ** 9' in 'alignment.topk ** 9 < 3' is not"),
        ("search.constraints=[alignment.topk < optim.batch_size]", "optim.batch_size is not set"),
        ("search.constraints=[alignment.local_form * 3 == 'a']", "which isn't a number"),
        ("search.constraints=[data.shots < alignment.topk]", "names data.shots, which is not searched"),
        ("search.constraints=[3]", "search.constraints"),
        ("search.start_from=[coop]", "search.start_from: coop: prompt.n_prompts is 1 there and 2 in this sweep"),
        ("search.start_from=[kopp]", "search.start_from: unknown method 'kopp'"),
        (
            "search.start_from=[{optim.learning_rate: 5}]",
            "optim.learning_rate is 5.0 there, outside the space ([0.001, 0.1]); give another value, or widen "
            "search.space.optim.learning_rate",
        ),
        ("search.start_from=[{optim.epochs: 5}]", "search.start_from: 'optim.epochs' is not searched"),
        ("search.start_from=['sweep:']", "'sweep:' names no sweep"),
        ("search.racing=hyperband", "search.racing: input should be 'none', 'asha' or 'statistical'"),
        ("search.racing=asha", "search.racing: needs more judged datasets than race_datasets (1), found 1"),
        ("search.race_reduction=4", "search.race_reduction: does nothing with racing: none"),
        ("search.race_confidence=0.2", "search.race_confidence: input should be greater than 0.5"),
        ("search.pack=0", "search.pack: should be 'auto' or at least 1"),
        ("search.pack=many", "search.pack"),
        ("name=a/b", "name"),
        ("nonsense", "not of the form key=value"),
    ],
)
def test_each_fault_is_one_line(good: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_sweep(good, parse_overrides([override]))
    assert said in str(caught.value)
    assert str(good) in str(caught.value) or "key=value" in said
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
        ("name: a\n1: 2", "bad.yaml:2: a key must be a word, found 1"),
        ("name: a\nsetting: {prompt: {1: 2}}", "bad.yaml:2: a key must be a word, found 1"),
        ("name: a\n? [a]\n: 1", "bad.yaml:2: a key must be a word, found a sequence"),
        ("name: a\nsetting: [1]", "bad.yaml: setting: expected a mapping of keys, found [1]"),
        ("name: 2024-99-99", "nothing to run"),
        ("name: a\nmethod: zero-shot", "unknown key 'method'; a sweep searches a method that is trained; list"),
        ("name: a\nsetting: {method: zero-shot}\nbaselines: [coop]", "bad.yaml: setting.method: a sweep searches"),
        (
            "name: a\nsetting: {method: coop}\nbaselines: [gda]",
            "bad.yaml: setting.method: coop is a preset of the method 'prompt', not a method; list it under baselines: "
            "to run it, or under search.start_from: to search from it",
        ),
    ],
)
def test_each_broken_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_sweep(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "override", "said"),
    [
        ("search: 3", "trials=3", "search: expected a mapping of keys, found 3"),
        ("grid: 3", "datasets=[mini]", "grid: expected a mapping of keys, found 3"),
        ("search: {space: 3}", "search.space.alignment.topk={int: [1, 2]}", "search.space: expected a mapping of keys"),
    ],
)
def test_overrides_of_malformed_sections_are_one_line(tmp_path: Path, text: str, override: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"name: a\n{text}")
    with pytest.raises(UserError) as caught:
        load_sweep(path, parse_overrides([override]))
    assert f"{path}: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


JUDGED_ON_A_PART = """
name: part
grid: {datasets: [mini], shots: [1, 2, 16], seeds: [1, 2]}
search: {datasets: [mini-pets, mini-cars], shots: [16], seeds: [1], space: {prompt.n_prompts: {int: [1, 4]}}}
"""


@pytest.mark.parametrize(
    ("overrides", "judged"),
    [
        ([], (["mini-pets", "mini-cars"], [16], [1])),
        (["datasets=[mini-cars, mini-dishes]", "seeds=[1]"], (["mini-cars"], [16], [1])),
        (["datasets=[DescribableTextures]", "shots=2", "seeds=[2, 3]"], (None, None, None)),
        (["shots=[2, 4]", "search.shots=[4]", "search.seeds=null"], (["mini-pets", "mini-cars"], [4], None)),
    ],
)
def test_a_search_follows_a_narrowed_grid(tmp_path: Path, overrides: list[str], judged: tuple[object, ...]) -> None:
    path = tmp_path / "part.yaml"
    path.write_text(JUDGED_ON_A_PART)
    search = load_sweep(path, parse_overrides(overrides)).file.search
    assert search is not None
    assert (search.datasets, search.shots, search.seeds) == judged


def test_a_search_overridden_outside_the_narrowed_grid_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.yaml"
    path.write_text(JUDGED_ON_A_PART)
    with pytest.raises(UserError, match=r"part\.yaml: search\.shots: 16 not in the grid"):
        load_sweep(path, parse_overrides(["shots=2", "search.shots=16"]))


def test_a_large_space_may_need_its_first_parameters_moved(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    lines = ["    alignment.local_form: {choice: [topk, ot, attention]}"]
    lines += ["    alignment.ot_marginals: {choice: [unbalanced, uniform]}"]
    floats = ("alignment.llm_weight", "alignment.local_weight", "alignment.attention_beta", "alignment.ot_relaxation")
    floats += ("inference.local_weight", "inference.description_weight", "prompt.init_std", "optim.learning_rate")
    floats += ("optim.epoch_scale", "optim.momentum", "optim.weight_decay", "optim.warmup_learning_rate")
    lines += [f"    {key}: {{float: [0.1, 0.9]}}" for key in floats]
    lines += [f"    {key}: {{int: [1, 9]}}" for key in ("alignment.topk", "prompt.n_prompts", "optim.batch_size")]
    path.write_text("name: large\nsearch:\n  space:\n" + "\n".join(lines))
    assert len(load_sweep(path).space) == len(lines)
    path.write_text(path.read_text().replace("topk, ot, attention", "topk, uniform, attention"))
    with pytest.raises(UserError, match=r"alignment\.ot_marginals: changes nothing"):
        load_sweep(path)


TRANSFER = """
name: transfer
grid: {datasets: [mini-objects], protocol: cross-dataset}
baselines: [coop]
"""


def test_targets_are_overridden_like_datasets(tmp_path: Path) -> None:
    path = tmp_path / "transfer.yaml"
    path.write_text(TRANSFER)
    assert load_sweep(path).file.grid.targets is None
    assert load_sweep(path, parse_overrides(["targets=[mini-pets, EuroSAT]"])).file.grid.targets == [
        "mini-pets",
        "EuroSAT",
    ]
    assert load_sweep(path, parse_overrides(["grid.targets=mini-pets"])).file.grid.targets == ["mini-pets"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("targets=[mini-pet]", "grid.targets: unknown dataset 'mini-pet'; did you mean 'mini-pets'?"),
        ("targets=[mini-objects]", "grid.targets: mini-objects is its only target"),
        ("targets=[]", "grid.targets: must be a list without repeats and not empty"),
        ("protocol=domain-generalization", "grid.targets: mini-objects has no known variants"),
        ("datasets=[ImageNetA]", "grid.targets: ImageNetA belongs to no grid"),
    ],
)
def test_targets_that_cannot_be_are_one_line(tmp_path: Path, override: str, said: str) -> None:
    path = tmp_path / "transfer.yaml"
    path.write_text(TRANSFER)
    with pytest.raises(UserError) as caught:
        load_sweep(path, parse_overrides([override]))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_targets_without_a_protocol_that_has_them(tmp_path: Path) -> None:
    path = tmp_path / "transfer.yaml"
    path.write_text(TRANSFER.replace("protocol: cross-dataset", "targets: [mini]"))
    with pytest.raises(UserError, match=r"grid\.targets: protocol few-shot has no targets; remove them"):
        load_sweep(path)


def test_a_users_own_datasets_stand_in_sweep_files(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("heather: {folder: heather, split: folders}")
    path = tmp_path / "transfer.yaml"
    path.write_text(TRANSFER)
    own = ["datasets=[heather]", "targets=[EuroSAT]"]
    assert load_sweep(path, parse_overrides([*own, f"data.root={tmp_path}"])).file.grid.datasets == ["heather"]
    with pytest.raises(UserError, match=r"grid\.targets: heather belongs to no grid"):
        load_sweep(path, parse_overrides([own[0], f"data.root={tmp_path}"]))


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


SEARCHED = """
name: searched
grid: {datasets: [mini], shots: [4], seeds: [1]}
search:
  space:
    alignment.llm_weight: {float: [0, 8], step: 4}
    inference.local_weight: {choice: [0.0, 0.5]}
    alignment.local_weight: {choice: [0.0, 0.5]}
    alignment.local_form: {choice: [topk, attention]}
    alignment.topk: {int: [1, 5], step: 2, when: {alignment.local_form: topk}}
    prompt.n_prompts: {int: [1, 2]}
"""


def searched(tmp_path: Path, *words: str) -> LoadedSweep:
    path = tmp_path / "searched.yaml"
    path.write_text(SEARCHED)
    return load_sweep(path, parse_overrides(list(words)))


def test_a_grid_has_one_trial_for_each_distinct_setting(tmp_path: Path) -> None:
    sweep = searched(tmp_path, "search.sampler=grid")
    assert sweep.file.search is not None
    # Three weights and two numbers of prompts; local features off, or on in three ways: at training, at test, at both,
    # each with attention or three values of k.
    assert sweep.file.search.trials == 3 * 2 * (1 + 3 * (1 + 3))
    points = grid_points(sweep)
    assert points != grid_points(searched(tmp_path, "search.sampler=grid", "search.seed=1")), "the seed sets the order"
    assert {p.get("alignment.topk") for p in points if p["alignment.local_form"] == "topk"} == {1, 3, 5}
    fewer = searched(tmp_path, "search.sampler=grid", "trials=7")
    assert fewer.file.search is not None
    assert fewer.file.search.trials == 7
    constrained = searched(tmp_path, "search.sampler=grid", "search.constraints=[prompt.n_prompts == 1]")
    assert constrained.file.search is not None
    assert constrained.file.search.trials == 39


def test_a_grid_too_large_to_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a grid of more than 10000 points"):
        searched(tmp_path, "search.sampler=grid", "search.space.prompt.init_std={float: [0.1, 0.9], step: 0.0001}")


def test_constraints_are_arithmetic_over_keys() -> None:
    values: dict[str, Value] = {"prompt.context_length": 16, "prompt.n_prompts": 2, "alignment.local_form": "ot"}
    for text, holds in {
        "prompt.context_length * prompt.n_prompts <= 32": True,
        "prompt.context_length * prompt.n_prompts < 32": False,
        "1 < prompt.n_prompts < 3": True,
        "-prompt.n_prompts + 2 == 0 and not prompt.n_prompts > 2": True,
        "alignment.local_form in ['ot', 'topk'] or prompt.n_prompts % 2 == 1": True,
        "alignment.local_form != 'ot' or prompt.context_length / prompt.n_prompts // 3 > 2": False,
    }.items():
        assert parse_constraint(text, values, "test").holds(values) == holds, text


def test_start_points_are_points_of_the_space(tmp_path: Path) -> None:
    start = "search.start_from=[coop, {alignment.llm_weight: 8.0, prompt.n_prompts: 1}]"
    coop, given = searched(tmp_path, start).start_points
    assert coop.label == "coop"
    assert coop.point["alignment.llm_weight"] == coop.point["inference.local_weight"] == 0.0
    assert given.point["alignment.llm_weight"] == 8.0
    assert "alignment.topk" not in given.point, "the reference's form is attention"
    rate = "search.space.optim.learning_rate={float: [0.001, 0.1], log: true}"
    (coop,) = searched(tmp_path, rate, "search.start_from=[coop]").start_points
    assert coop.point["optim.learning_rate"] == 0.002, "the recipe's"
    with pytest.raises(UserError, match=r"kgcoop: prompt.context_length is 4 there and 16 in this sweep"):
        searched(tmp_path, "search.start_from=[kgcoop]")
    with pytest.raises(UserError, match=r"coop: violates 'alignment.llm_weight > 0'"):
        searched(tmp_path, "search.start_from=[coop]", "search.constraints=[alignment.llm_weight > 0]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search.sampler=cmaes"], "cmaes knows one objective"),
        (["search.racing=asha"], "candidates with different data.shots cannot be raced"),
    ],
)
def test_two_objectives_are_refused_where_one_is_known(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        searched(tmp_path, "search.space.data.shots={choice: [1, 4]}", *words)


def test_packs_of_settings_that_cannot_share_steps_are_refused(tmp_path: Path) -> None:
    space = "search.space={prompt.n_prompts: {int: [1, 4]}}"
    with pytest.raises(UserError, match=r"search.pack: replicas may differ in alignment.global_weight, al"):
        searched(tmp_path, space, "search.pack=4")
    searched(tmp_path, space, "search.pack=auto")


def test_every_shipped_file_loads() -> None:

    shipped = sorted(Path(search_spaces.__path__[0]).glob("*.yaml"))
    assert shipped
    for path in shipped:
        assert load_sweep(path).file.description, f"{path.name} lacks a description"


class TestMethodsOnFeatures:
    def load(self, folder: Path, text: str, *overrides: str) -> LoadedSweep:
        path = folder / "features.yaml"
        path.write_text("name: features\ngrid: {datasets: [mini-pets], shots: [4]}\n" + text)
        return load_sweep(path, parse_overrides(list(overrides)))

    SEARCH = """
setting: {method: tip-adapter}
search:
  trials: 3
  space:
    tip-adapter.alpha: {float: [0.1, 10], log: true}
    tip-adapter.beta: {float: [1, 8]}
  constraints: [tip-adapter.alpha * tip-adapter.beta <= 20]
  start_from: [{tip-adapter.alpha: 1.0, tip-adapter.beta: 5.5}]
"""

    def test_a_method_that_nothing_runs_is_told(self, tmp_path: Path) -> None:
        sweep = self.load(tmp_path, "setting: {method: gda}\nbaselines: [clap]")
        assert sweep.remarks == (
            "setting.method is for a search, and there is none: list gda under baselines to run it",
        )
        assert self.load(tmp_path, self.SEARCH).remarks == ()

    def test_two_methods_of_one_name_are_refused(self, tmp_path: Path) -> None:
        """Records and tables know a method by its name, so one of the two would be missing."""
        for name in ("own", "other"):
            (tmp_path / f"{name}.py").write_text(SOURCE)
        own, other = (str(tmp_path / f"{name}.py") for name in ("own", "other"))
        line = r"own\.py and .*other\.py both call their method 'pulled'; rename one of them"
        for text in (
            f"baselines: [{own}, {other}]",
            f"baselines: [{other}]\nsetting: {{method: {own}}}\nsearch: {{space: {{pulled.pull: {{float: [1, 2]}}}}}}",
        ):
            with pytest.raises(UserError, match=line if "search" not in text else "both call their method 'pulled'"):
                self.load(tmp_path, text)
        assert self.load(tmp_path, f"baselines: [{own}, {own}]").file.baselines == [own]

    def test_one_is_searched_like_prompts(self, tmp_path: Path) -> None:
        sweep = self.load(tmp_path, self.SEARCH)
        assert [parameter.key for parameter in sweep.space] == ["tip-adapter.alpha", "tip-adapter.beta"]
        assert sweep.constraints[0].holds({"tip-adapter.alpha": 2, "tip-adapter.beta": 8})
        assert not sweep.constraints[0].holds({"tip-adapter.alpha": 10, "tip-adapter.beta": 8})
        assert sweep.start_points[0].point == {"tip-adapter.alpha": 1.0, "tip-adapter.beta": 5.5}

    def test_options_of_baselines_are_theirs_alone(self, tmp_path: Path) -> None:
        sweep = self.load(tmp_path, "setting: {gda.views: 3}\nbaselines: [gda, coop]")
        assert sweep.reference.method == "prompt"
        assert method_setting("gda", sweep.file.base_values()).flat()["gda.views"] == 3

    def test_overrides_know_their_keys(self, tmp_path: Path) -> None:
        sweep = self.load(tmp_path, self.SEARCH, "tip-adapter.views=2")
        assert sweep.reference.flat()["tip-adapter.views"] == 2
        sweep = self.load(
            tmp_path, "setting: {method: gda}\nsearch: {space: {gda.alpha: {float: [0, 1]}}}", "gda.views=2"
        )
        assert sweep.reference.flat()["gda.views"] == 2

    @pytest.mark.parametrize("key", ["optim.epochs=3", "data.views=2"])
    def test_a_key_of_prompts_is_refused_where_nothing_learns_any(self, tmp_path: Path, key: str) -> None:
        own = tmp_path / "own.py"
        own.write_text(SOURCE)
        for text, said in (
            (f"baselines: [{own}, gda]", "pulled, which learns no prompts; its own keys are pulled.pull"),
            (f"setting: {{method: {own}}}\nsearch: {{space: {{pulled.pull: {{float: [0, 9]}}}}}}", "pulled, which "),
            ("baselines: [nearest-mean]", "nearest-mean, which learns no prompts; it has no keys of its own"),
        ):
            with pytest.raises(UserError) as caught:
                self.load(tmp_path, text, key)
            assert f": {key.partition('=')[0]} does nothing for {said}" in str(caught.value)
        assert len(self.load(tmp_path, f"baselines: [{own}, coop]", key).file.baselines) == 2

    def test_a_users_own_is_read_from_its_file(self, tmp_path: Path) -> None:
        own = tmp_path / "own.py"
        own.write_text(SOURCE)
        text = f"setting: {{method: {own}}}\nbaselines: [{own}]\nsearch: {{space: {{pulled.pull: {{float: [0, 9]}}}}}}"
        sweep = self.load(tmp_path, text)
        assert [parameter.key for parameter in sweep.space] == ["pulled.pull"]
        assert self.load(tmp_path, f"baselines: [{own}]", "pulled.pull=3").file.base_values() == {"pulled.pull": 3}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("baselines: [gdaa]", "baselines: unknown method 'gdaa'; did you mean 'gda'?"),
            ("baselines: [nothing.py]", "nothing.py: no such file of a method"),
            ("setting: {gda.views: 3}\nbaselines: [coop]", "setting: gda.views belongs to the method gda, and this"),
            ("setting: {gda.views: many}\nbaselines: [gda]", "gda.views: input should be a valid integer"),
            (
                "setting: {method: gda}\nsearch: {space: {clap.views: {int: [1, 3]}}}",
                "search.space: clap.views belongs to the method clap, and this setting's is gda",
            ),
            (
                "setting: {method: gda}\nsearch: {space: {gda.alpa: {float: [1, 3]}}}",
                "search.space: unknown key 'gda.alpa'; did you mean 'gda.alpha'?",
            ),
            (
                "setting: {method: gda}\nsearch: {space: {gda.alpha: {float: [-1, 3]}}}",
                "search.space.gda.alpha: gda.alpha: input should be greater than or equal to 0",
            ),
            (
                "setting: {method: gda}\nsearch: {space: {alignment.topk: {int: [1, 3]}}}",
                "search.space: alignment.topk does nothing for gda, which learns no prompts; its own keys are gda.",
            ),
            (
                "setting: {method: gda}\nsearch: {start_from: [coop], space: {gda.alpha: {float: [1, 3]}}}",
                "search.start_from: coop: method is prompt there and gda in this sweep",
            ),
        ],
    )
    def test_each_fault_is_one_line(self, tmp_path: Path, text: str, said: str) -> None:
        with pytest.raises(UserError) as caught:
            self.load(tmp_path, text)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_protocol_that_one_does_not_serve(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="tip-adapter: can't be judged under protocol base-to-new"):
            self.load(tmp_path, "baselines: [tip-adapter]", "protocol=base-to-new")
        self.load(tmp_path, "baselines: [gda]", "protocol=base-to-new")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["selection=none"], "grid.selection: none is one fixed recipe, and a search has nothing to select by"),
        (["selection=support-holdout"], "selection support-holdout: 1 shot can't be divided"),
        (
            ["selection=support-cv", "shots=[4]", "baselines=[tip-adapter]"],
            "and support-cv has several; set tip-adapter",
        ),
        (["selection=test"], "grid.selection"),
    ],
)
def test_selections_that_cannot_be_are_one_line(good: Path, words: list[str], said: str) -> None:
    with pytest.raises(UserError) as fault:
        load_sweep(good, parse_overrides(words))
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_selection_is_a_key_of_the_grid(good: Path) -> None:
    assert load_sweep(good).file.grid.selection == "validation"
    assert load_sweep(good, parse_overrides(["selection=support-cv", "shots=[4]"])).file.grid.selection == "support-cv"
    good.write_text(GOOD.split("search:")[0].replace("shots: [1, 16]", "shots: [1, 16], selection: none"))
    assert load_sweep(good).file.grid.selection == "none"


def test_options_that_a_search_sets_may_be_judged_by_folds() -> None:
    ends = {"float": [1, 10]}
    space = {"tip-adapter.alpha": ends, "tip-adapter.beta": ends}
    declared: dict[str, Any] = {
        "name": "folds",
        "grid": {"datasets": ["mini-tiles"], "shots": [4], "selection": "support-cv"},
        "setting": {"method": "tip-adapter"},
        "search": {"trials": 2, "space": space},
    }
    checked = check_sweep(declared, "test")
    assert {checked.reference.flat()[key] for key in space} == {1.0}
    declared["search"] = {"trials": 2, "space": {"tip-adapter.alpha": ends}}
    with pytest.raises(UserError, match=r"set tip-adapter\.beta, or choose selection: support-holdout"):
        check_sweep(declared, "test")
