"""Settings: unknown keys, wrong types, and which knobs identify a setting."""

from pathlib import Path
from typing import Any

import pytest

from dualpt.core.cell import Cell, check_serves, pack_of
from dualpt.core.config import ACTIVE_WHEN, SETTING_KEYS, Protocol, Setting
from dualpt.core.errors import UserError
from dualpt.core.presets import METHODS, method_setting
from dualpt.core.recipes import resolve_recipe
from tests.core.own_method import SOURCE


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optim.learning_rat": 1.0}, "did you mean 'optim.learning_rate'?"),
        ({"prompt.n_prompts": 0}, "prompt.n_prompts: input should be greater than or equal to 1 (given: 0)"),
        ({"prompt.n_prompts": 1.5}, "prompt.n_prompts"),
        ({"prompt.class_specific": 1}, "prompt.class_specific: input should be a valid boolean"),
        ({"alignment.llm_form": "cosin"}, "alignment.llm_form: input should be 'cosine', 'ot'"),
        ({"optim.momentum": 1.0}, "less than 1"),
        ({"optim": 1}, "unknown key 'optim'"),
    ],
)
def test_faults_name_the_key(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        Setting().with_values(values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        Setting().with_values({"prompt.n_prompts": 0, "optim.learning_rate": "x"})
    assert "prompt.n_prompts" in str(caught.value)
    assert "optim.learning_rate" in str(caught.value)


def test_knobs_that_are_switched_off_do_not_identify_a_setting() -> None:
    coop = method_setting("coop")
    assert coop.with_values({"alignment.topk": 3}).active() == coop.active()
    assert coop.with_values({"data.root": "/elsewhere"}).active() == coop.active()
    assert coop.with_values({"prompt.context_length": 4}).active() != coop.active()
    local = method_setting("dualpt-local-only", {"alignment.local_form": "topk"})
    assert local.with_values({"alignment.topk": 3}).active() != local.active()
    assert local.with_values({"alignment.ot_epsilon": 0.2}).active() == local.active()


def test_conditions_name_existing_keys() -> None:
    assert set(ACTIVE_WHEN) <= set(SETTING_KEYS)


def test_every_method_is_a_setting_of_its_own() -> None:
    assert len({method.title for method in METHODS.values()}) == len(METHODS)
    assert len({method.short_title for method in METHODS.values()}) == len(METHODS)
    active = [str(method_setting(name).active()) for name in METHODS]
    assert len(set(active)) == len(METHODS)


def test_a_trained_method_stays_one_over_any_shared_values() -> None:
    shared = {"method": "zero-shot"}
    kept = {name for name in METHODS if method_setting(name, shared).trains}
    assert kept == set(METHODS) - {"zero-shot", "zero-shot-descriptions"}


def test_kgcoop_is_the_published_setting() -> None:
    setting = method_setting("kgcoop", {"optim.recipe": "coop"})
    alignment = setting.alignment
    assert (alignment.llm_form, alignment.llm_target, alignment.llm_weight) == ("cosine", "kgcoop-template", 8.0)
    assert alignment.local_weight == 0
    assert (setting.prompt.init, setting.prompt.context_length) == ("a photo of a", 4)
    recipe = resolve_recipe(setting.optim.recipe, dataset="OxfordPets", shots=4, n_images=148)
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (0.002, 128, 100)


@pytest.mark.parametrize(("shots", "epochs"), [(1, 50), (2, 100), (4, 100), (8, 200), (16, 200)])
@pytest.mark.parametrize("protocol", ["few-shot", "base-to-new"])
def test_prograd_is_the_published_setting(protocol: Protocol, shots: int, epochs: int) -> None:
    """BeierZhu/Prompt-align@27ddd3b, ProGrad.public: its scripts and README; base-to-new with 4 shots."""
    setting = method_setting("prograd", {"optim.recipe": "coop", "prompt.context_length": 4}, protocol)
    alignment, prompt = setting.alignment, setting.prompt
    assert (alignment.llm_gradient, alignment.llm_form, alignment.llm_target) == ("projected", "kl", "prograd-template")
    assert alignment.llm_weight == 1.0
    assert (prompt.context_length, prompt.init, prompt.init_at) == (16, "dataset-template", "end")
    recipe = resolve_recipe(setting.optim.recipe, dataset="OxfordPets", shots=shots, n_images=37 * shots)
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (0.002, 32, epochs)
    assert resolve_recipe("coop", dataset="ImageNet", shots=shots, n_images=1000 * shots).epochs == 50


def test_what_prograd_brought_is_no_part_of_other_settings() -> None:
    for name in set(METHODS) - {"prograd"}:
        assert not {"prompt.init_at", "alignment.llm_gradient"} & method_setting(name).active().keys()
    coop = method_setting("coop")
    assert coop.with_values({"prompt.init_at": "end", "alignment.llm_gradient": "projected"}).active() == coop.active()


@pytest.mark.parametrize("protocol", ["base-to-new", "cross-dataset", "domain-generalization"])
def test_coop_begins_with_words_where_other_classes_or_datasets_are_tested(protocol: Protocol) -> None:
    shared = {"prompt.context_length": 16}
    assert method_setting("coop", shared, protocol) == method_setting("coop-words", shared)
    few_shot = method_setting("coop", shared, "few-shot")
    assert (few_shot.prompt.init, few_shot.prompt.context_length) == (None, 16)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"alignment.global_weight": 0.0, "alignment.local_weight": 0.0}, "no label enters the loss"),
        ({"inference.global_weight": 0.0, "inference.local_weight": 0.0}, "there are no logits"),
    ],
)
def test_prompts_without_any_logits_are_refused(values: dict[str, float], said: str) -> None:
    setting = method_setting("dualpt").with_values(values)
    with pytest.raises(UserError, match=said):
        check_serves(setting, "few-shot", [4])


def test_logits_that_are_summed_matter_only_where_that_is_another_loss() -> None:
    coop = method_setting("coop")
    assert coop.with_values({"alignment.cross_entropy": "summed"}).active() == coop.active()
    dualpt = method_setting("dualpt")
    assert dualpt.with_values({"alignment.cross_entropy": "summed"}).active() != dualpt.active()


def test_weights_decay_as_in_dassl_though_no_recipe_names_it() -> None:
    assert {method_setting(name).optim.weight_decay for name in ("coop", "plot", "kgcoop", "dualpt")} == {5e-4}


def test_packs_hold_cells_that_differ_in_seed_and_weights_only() -> None:
    setting = method_setting("dualpt")
    one = Cell(setting, "mini-pets", "few-shot", 4, 1)
    heavier = setting.with_values({"alignment.llm_weight": 9.0, "optim.learning_rate": 0.5})
    longer = setting.with_values({"prompt.context_length": 4})
    assert pack_of(one) == pack_of(Cell(heavier, "mini-pets", "few-shot", 4, 2))
    assert pack_of(one) != pack_of(Cell(longer, "mini-pets", "few-shot", 4, 1))
    assert pack_of(one) != pack_of(Cell(setting, "mini-cars", "few-shot", 4, 1))
    assert pack_of(one) != pack_of(Cell(setting, "mini-pets", "few-shot", 8, 1))


def test_coop_from_words_is_coop_with_a_context_of_four_words() -> None:
    plain, words = method_setting("coop").flat(), method_setting("coop-words").flat()
    differs = {key: words[key] for key in words if words[key] != plain[key]}
    assert differs == {"prompt.context_length": 4, "prompt.init": "a photo of a"}


class TestMethodsOnFeatures:
    def test_their_options_are_keys(self) -> None:
        setting = Setting().with_values({"method": "gda", "gda.alpha": 2.5})
        assert setting.flat()["gda.alpha"] == 2.5
        assert setting.active()["gda.alpha"] == 2.5
        assert set(setting.keys) == {*SETTING_KEYS, *setting.own_keys}
        assert Setting().with_values(setting.flat()) == setting
        assert hash(setting) == hash(Setting().with_values(setting.flat()))

    def test_what_shapes_prompts_does_not_matter_to_them(self) -> None:
        active = method_setting("gda").active()
        sections = {key.split(".")[0] for key in active}
        assert sections == {"method", "backbone", "gda"}
        assert "backbone.local_features" not in active

    def test_a_change_of_method_begins_with_its_defaults(self) -> None:
        gda = Setting().with_values({"method": "gda", "gda.alpha": 2.5})
        assert gda.with_values({"method": "tip-adapter"}).with_values({"method": "gda"}).flat()["gda.alpha"] is None
        assert gda.with_values({"method": "prompt"}) == Setting()

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"method": "gdaa"}, "unknown method 'gdaa'; did you mean 'gda'?"),
            ({"gda.alpha": 1.0}, "gda.alpha belongs to the method gda, and this setting's is prompt"),
            ({"method": "gda", "clap.views": 1}, "clap.views belongs to the method clap, and this setting's is gda"),
            ({"method": "gda", "gda.alfa": 1.0}, "unknown key 'gda.alfa'; did you mean 'gda.alpha'?"),
            ({"method": "gda", "gda.alpha": "much"}, "gda.alpha: input should be a valid number (given: 'much')"),
            ({"method": 3}, "method: input should be a valid string (given: 3)"),
        ],
    )
    def test_each_fault_is_one_line(self, values: dict[str, Any], said: str) -> None:
        with pytest.raises(UserError) as caught:
            Setting().with_values(values, source="file")
        assert str(caught.value).startswith(f"file: {said}")

    def test_a_users_own_is_told_by_its_content(self, tmp_path: Path) -> None:
        one, copy, other = (tmp_path / name for name in ("one.py", "copy.py", "other.py"))
        for path in (one, copy):
            path.write_text(SOURCE)
        other.write_text(SOURCE + "# changed\n")
        settings = [Setting().with_values({"method": str(path)}) for path in (one, copy, other)]
        active = [setting.active() for setting in settings]
        assert active[0] == active[1] != active[2]
        assert active[0]["method"] == "pulled"
        assert {setting.method_name for setting in settings} == {"pulled"}
        assert settings[0].flat()["method"] == str(one)

    def test_shared_options_of_other_methods_are_left_out(self) -> None:
        shared = {"method": "gda", "gda.alpha": 2.0, "backbone.precision": "bf16"}
        assert method_setting("gda", shared).flat()["gda.alpha"] == 2.0
        assert method_setting("coop", shared) == method_setting("coop", {"backbone.precision": "bf16"})
