"""Published methods as settings."""

from pathlib import Path

import pytest

from dualpt.core.config.activity import active_values
from dualpt.core.config.sections import Protocol
from dualpt.core.errors import UserError
from dualpt.core.presets import METHODS, method_setting
from dualpt.core.recipes import resolve_recipe


def test_every_method_is_a_setting_of_its_own() -> None:
    assert len({method.title for method in METHODS.values()}) == len(METHODS)
    assert len({method.short_title for method in METHODS.values()}) == len(METHODS)
    active = [str(active_values(method_setting(name))) for name in METHODS]
    assert len(set(active)) == len(METHODS)


def test_the_title_of_dualpt_holds_for_whatever_a_sweep_fixes() -> None:
    other = method_setting("dualpt", {"alignment.local_form": "ot"})
    assert other.alignment.local_form == "ot", "so these are not the defaults"
    assert METHODS["dualpt"].title == METHODS["dualpt"].short_title == "DuAl-PT"


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


@pytest.mark.parametrize("protocol", ["base-to-new", "cross-dataset", "domain-generalization"])
def test_coop_begins_with_words_where_other_classes_or_datasets_are_tested(protocol: Protocol) -> None:
    shared = {"prompt.context_length": 16}
    assert method_setting("coop", shared, protocol) == method_setting("coop-words", shared)
    few_shot = method_setting("coop", shared, "few-shot")
    assert (few_shot.prompt.init, few_shot.prompt.context_length) == (None, 16)


def test_weights_decay_as_in_dassl_though_no_recipe_names_it() -> None:
    assert {method_setting(name).optim.weight_decay for name in ("coop", "plot", "kgcoop", "dualpt")} == {5e-4}


def test_coop_from_words_is_coop_with_a_context_of_four_words() -> None:
    plain, words = method_setting("coop").flat(), method_setting("coop-words").flat()
    differs = {key: words[key] for key in words if words[key] != plain[key]}
    assert differs == {"prompt.context_length": 4, "prompt.init": "a photo of a"}


def test_a_method_that_lies_here_as_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(UserError, match=r"unknown method 'mine'; did you mean the file mine\.py\?"):
        method_setting("mine")
