"""Ablation files: what they expand to, and that each fault is one line before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from dualpt.core import method_catalog
from dualpt.core.errors import UserError
from dualpt.search_spaces.ablation import LoadedAblation, check_ablation, load_ablation
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.search_spaces.shipped import shipped_ablation_or_path, shipped_ablations
from tests.core.own_method import SOURCE

SHIPPED = sorted(path.stem for path in shipped_ablations().glob("*.yaml"))
LOCAL = {"alignment.local_weight": 0, "inference.local_weight": 0}


def ablation(**declared: Any) -> LoadedAblation:
    return check_ablation({"name": "mine", "grid": {"datasets": ["mini-pets"]}, **declared}, "mine.yaml")


def names(loaded: LoadedAblation) -> list[str]:
    return [variant.name for variant in loaded.sweep.variants]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_ablation_loads(name: str) -> None:
    loaded = load_ablation(shipped_ablation_or_path(name))
    assert loaded.sweep.file.name == name
    assert loaded.reference.is_reference
    assert len(loaded.sweep.variants) > 2
    assert len(set(names(loaded))) == len(names(loaded))


def test_a_named_variant_changes_what_it_declares() -> None:
    loaded = ablation(
        variants={"without descriptions": {"alignment": {"llm_weight": 0}}, "long": {"prompt.context_length": 32}}
    )
    assert names(loaded) == ["reference", "without descriptions", "long"]
    reference, without, long = (variant.setting for variant in loaded.sweep.variants)
    assert without == reference.with_values({"alignment.llm_weight": 0})
    assert long == reference.with_values({"prompt.context_length": 32})


def test_a_published_method_declares_its_changes() -> None:
    changes = ["prompt.n_prompts", "alignment.llm_weight", *LOCAL]
    loaded = ablation(
        variants={"one prompt (CoOp)": {"method": "coop", "changes": changes}}, setting={"optim": {"epochs": 3}}
    )
    assert loaded.sweep.variants[1].setting.optim.epochs == 3
    with pytest.raises(UserError, match=r"CoOp\): differs .* in more than declared: prompt.n_prompts; declare it"):
        ablation(variants={"one prompt (CoOp)": {"method": "coop", "changes": changes[1:]}})


def test_one_factor_at_a_time_takes_the_reference_from_its_levels() -> None:
    loaded = ablation(factors={"prompt.n_prompts": [1, 2, 4], "local alignment": {"without": LOCAL, "with": {}}})
    assert names(loaded)[1:] == ["prompt.n_prompts = 1", "prompt.n_prompts = 4", "without local alignment"]
    assert loaded.sweep.variants[3].levels == {"prompt.n_prompts": "2", "local alignment": "without"}
    moved = load_ablation(shipped_ablation_or_path("n-prompts"), parse_overrides(["prompt.n_prompts=4"]))
    assert names(moved)[1:] == ["prompt.n_prompts = 1", "prompt.n_prompts = 2", "prompt.n_prompts = 8"]


def test_a_factorial_crosses_levels_and_a_fraction_halves_it() -> None:
    factors = {"prompt.n_prompts": [1, 2], "prompt.context_length": [4, 16], "local": {"without": LOCAL, "with": {}}}
    full = ablation(factors=factors, design="factorial")
    assert len(full.sweep.variants) == 8
    half = ablation(
        factors=factors, design="factorial", generators={"local": ["prompt.n_prompts", "prompt.context_length"]}
    )
    assert names(half)[1:] == [
        "prompt.context_length = 4, without local",
        "prompt.n_prompts = 1, without local",
        "prompt.n_prompts = 1, prompt.context_length = 4",
    ]


def test_overrides_reach_grid_and_reference() -> None:
    words = parse_overrides(
        ["datasets=[mini-cars]", "shots=[1,2]", "optim.epochs=3", "run.tracking_uri=sqlite:///x.db"]
    )
    loaded = load_ablation(shipped_ablation_or_path("components"), words)
    assert loaded.sweep.file.grid.datasets == ["mini-cars"]
    assert {variant.setting.optim.epochs for variant in loaded.sweep.variants} == {3}
    with pytest.raises(UserError, match="'variants' cannot be overridden in an ablation"):
        load_ablation(shipped_ablation_or_path("components"), {"variants": {}})


TWO = {"prompt.n_prompts": [1, 2], "prompt.context_length": [4, 16]}
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"variants": {"same": {"prompt.n_prompts": 2}}}, "same: differs from the reference in nothing that matters"),
    ({"variants": {"dead": {"alignment.topk": 8}}}, "dead: differs from the reference in nothing that matters"),
    (
        {"variants": {"half": {"alignment.topk": 8, "prompt.n_prompts": 1}}},
        "half: alignment.topk changes nothing, since the rest of the setting switches it off",
    ),
    ({"variants": {"a": {"prompt.n_prompts": 1}, "b": {"prompt.n_prompts": 1}}}, "'a' and 'b' are one setting"),
    ({"variants": {"a": {"prompt.n_prompt": 1}}}, "did you mean 'prompt.n_prompts'?"),
    ({"variants": {"a": {"prompt.n_prompts": 0}}}, "prompt.n_prompts"),
    ({"variants": {"coop": {"prompt.n_prompts": 1}}}, "'coop' is the name of a published method"),
    ({"variants": {"best-4-shot": {"prompt.n_prompts": 1}}}, "'best-4-shot' is the name of a published method or of"),
    ({"variants": {"trial-007": {"prompt.n_prompts": 1}}}, "'trial-007' is the name of a published method or of"),
    ({"variants": {"it's": {"prompt.n_prompts": 1}}}, "a name is 1 to 200 characters without"),
    ({"variants": {"z": {"method": "zero-shot", "changes": ["method"]}}}, "trains nothing; list it under 'baselines'"),
    ({"variants": {"z": {"method": "coop"}}}, "needs 'changes'"),
    ({"variants": {"z": {"method": "cop", "changes": ["method"]}}}, "did you mean 'coop'?"),
    ({}, "give either 'variants'"),
    ({"variants": {"a": {"prompt.n_prompts": 1}}, "factors": TWO}, "give either 'variants'"),
    ({"variants": {"a": {"prompt.n_prompts": 1}}, "design": "factorial"}, "design: belongs to 'factors'"),
    ({"variants": {"a": {"prompt.n_prompts": 1}}, "search": {}}, "an ablation declares its variants; a search is for"),
    ({"variants": {"a": {"prompt.n_prompts": 1}}, "varants": {}}, "did you mean 'variants'?"),
    ({"factors": TWO, "design": "factorail"}, "unknown design 'factorail'; did you mean 'factorial'?"),
    (
        {"factors": {"prompt.n_prompts": [1, 4]}, "design": "factorial"},
        "prompt.n_prompts: none of the levels is the reference's (prompt.n_prompts=2); exactly one level must",
    ),
    ({"factors": {"prompts": [1, 2]}}, "a list of values needs a key as its name"),
    (
        {"factors": {"a": {"x": LOCAL, "y": {}}, "b": {"x": {}, "y": {"inference.local_weight": 1}}}},
        "both set inference",
    ),
    ({"factors": TWO, "generators": {"prompt.n_prompts": ["prompt.context_length"]}}, "set design: factorial"),
    (
        {"factors": TWO, "design": "factorial", "generators": {"prompt.n_prompts": ["prompt.context_length"]}},
        "resolution below III",
    ),
    (
        {
            "factors": {**TWO, "prompt.n_prompts": [1, 2, 4]},
            "design": "factorial",
            "generators": {"prompt.n_prompts": []},
        },
        "prompt.n_prompts has 3 levels; a fraction takes two",
    ),
    ({"grid": {"datasets": ["mini-pet"]}, "factors": TWO}, "did you mean 'mini-pets'?"),
]


def test_one_at_a_time_values_are_compared_with_a_reference_that_has_another() -> None:
    """What a sweep has selected (`--from`) rarely is among the values of a file."""
    factors = {"alignment.llm_weight": [1, 4, 8]}
    loaded = ablation(factors=factors, setting={"alignment": {"llm_weight": 0.3547}})
    assert names(loaded)[1:] == [f"alignment.llm_weight = {level}" for level in (1, 4, 8)]
    assert loaded.reference.levels == {"alignment.llm_weight": "0.3547"}
    same = ablation(factors=factors, setting={"alignment": {"llm_weight": 4.0}})
    assert names(same)[1:] == [f"alignment.llm_weight = {level}" for level in (1, 8)]


@pytest.mark.parametrize(("declared", "said"), FAULTS, ids=[said[:30] for _, said in FAULTS])
def test_each_fault_is_one_line(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as fault:
        ablation(**declared)
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)
    assert str(fault.value).startswith("mine.yaml")


@pytest.mark.parametrize("name", ["best guess", "trial-size", "zero-shot start"])
def test_a_name_that_only_begins_as_a_reserved_one_is_free(name: str) -> None:
    assert names(ablation(variants={name: {"prompt.n_prompts": 1}}))[1:] == [name]


def test_an_unknown_study_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no such ablation file; did you mean 'components'\?"):
        shipped_ablation_or_path("component")


def test_a_bank_is_a_difference_although_it_is_a_location(tmp_path: Path) -> None:
    assert names(ablation(variants={"other bank": {"descriptions.bank": str(tmp_path)}}))[1:] == ["other bank"]
    with pytest.raises(UserError, match="differs from the reference in nothing"):
        ablation(setting={"alignment.llm_weight": 0}, variants={"other bank": {"descriptions.bank": str(tmp_path)}})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CoOp", "published method"),
        ("zero shot desc.", "published method"),
        ("DuAl-PT", "published method"),
        ("ＣｏＯｐ", "published method"),
        ("Best", "search's trial"),
        ("trial-001", "search's trial"),
        ("", "1 to 200 characters"),
        ("x" * 201, "1 to 200 characters"),
        ("a[b]", "1 to 200 characters"),
        (" ", "visible characters"),
        ("a ", "visible characters"),
        ("two\nlines", "visible characters"),
        ("\u200b", "visible characters"),
        ("tab\there", "visible characters"),
    ],
)
def test_names_that_cannot_be_shown_or_told_apart_are_refused(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ablation(variants={name: {"alignment.llm_weight": 0}})


@pytest.mark.parametrize("name", ["ViT-B/16", "ä" * 200, "costs $5 or $6", "Gewicht 0 (ohne)"])
def test_names_of_any_letters_are_taken(name: str) -> None:
    assert ablation(variants={name: {"alignment.llm_weight": 0}}).sweep.variants[1].name == name


def test_a_level_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(UserError, match="1 is listed twice"):
        ablation(factors={"prompt.n_prompts": [1, 4, 1]})


def test_names_that_look_the_same_are_refused() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    with pytest.raises(UserError, match="two variants are named"):
        ablation(variants={composed: {"alignment.llm_weight": 0}, decomposed: {"prompt.n_prompts": 1}})


def test_a_method_on_features_is_ablated_by_its_options(tmp_path: Path) -> None:
    declared = {
        "name": "a",
        "grid": {"datasets": ["mini-pets"], "shots": [4]},
        "setting": {"method": "gda"},
        "factors": {"gda.views": [10, 1], "crop": {"tight": {"gda.min_crop_area": 0.9}, "authors": {}}},
    }
    loaded = check_ablation(declared, source="test")
    assert [variant.name for variant in loaded.sweep.variants[1:]] == ["gda.views = 1", "tight crop"]
    named = {**declared, "factors": None, "variants": {"cached": {"method": "tip-adapter", "changes": ["method"]}}}
    named.pop("factors")
    assert check_ablation(named, source="test").sweep.variants[1].setting.method == "tip-adapter"
    with pytest.raises(UserError, match=r"clap\.views belongs to the method clap, and this setting's is gda"):
        check_ablation({**declared, "factors": {"crop": {"a": {"clap.views": 3}, "b": {}}}}, source="test")


def test_a_key_of_prompts_is_refused_where_no_variant_learns_any(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("name: a\ngrid: {datasets: [mini-pets]}\nsetting: {method: gda}\nfactors: {gda.views: [10, 1]}\n")
    with pytest.raises(
        UserError, match=r"a\.yaml: optim\.epochs does nothing for gda, which learns no prompts; its own"
    ):
        load_ablation(file, {"optim.epochs": 3})
    file.write_text(file.read_text() + "baselines: [coop]\n")
    assert load_ablation(file, {"optim.epochs": 3}).sweep.file.base_values()["optim.epochs"] == 3


def test_a_variant_is_a_method_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(SOURCE)
    (tmp_path / "installed_one.py").write_text(SOURCE.replace('"pulled"', '"tiny-pulled"'))
    info = tmp_path / "tiny-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[dualpt.methods]\ntiny-pulled = installed_one:Pulled\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    method_catalog.installed.cache_clear()
    try:
        for spec, name in ((str(tmp_path / "own.py"), "pulled"), ("tiny-pulled", "tiny-pulled")):
            declared = {
                "name": "a",
                "grid": {"datasets": ["mini-pets"], "shots": [4]},
                "setting": {"method": "gda"},
                "variants": {"ours": {"method": spec, "changes": ["method"]}},
            }
            (variant,) = check_ablation(declared, source="test").sweep.variants[1:]
            assert variant.setting.method_name == name
        declared["variants"] = {"ours": {"method": "tiny-puled", "changes": ["method"]}}
        with pytest.raises(UserError, match=r"test: variants\.ours: unknown method 'tiny-puled'"):
            check_ablation(declared, source="test")
    finally:
        method_catalog.installed.cache_clear()
