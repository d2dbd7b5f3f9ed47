"""Templates by what prompts are aligned with, and the words that contexts begin with."""

from pathlib import Path

import pytest

from dualpt.core.cell import Cell
from dualpt.core.data.catalog import dataset_info
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import CellInputs, Dataset
from dualpt.core.inputs.templates import start_of, template_of
from dualpt.core.presets import method_setting


@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("coop", "{} texture."),
        ("kgcoop", "a photo of a {}, a type of texture."),
        ("prograd", "a texture of {}."),
    ],
)
def test_a_template_is_that_of_the_methods_authors(method: str, template: str) -> None:
    textures = Dataset(dataset_info("DescribableTextures"), Path())
    assert template_of(method_setting(method), textures) == template


def test_prograds_template_has_all_its_words_before_the_name() -> None:
    """CoOp's is "a photo of a {}, a type of pet."."""
    pets = CellInputs(Cell(method_setting("prograd"), "mini-pets", "few-shot", 1, 1))
    assert start_of(pets) == "a type of pet, a photo of a"


def test_contexts_begin_with_the_words_given_or_with_noise() -> None:
    setting = method_setting("coop")
    for init in ("a photo of a", None):
        cell = Cell(setting.with_values({"prompt.init": init}), "mini-pets", "few-shot", 1, 1)
        assert start_of(CellInputs(cell)) == init


def test_words_before_a_name_that_comes_first_are_refused() -> None:
    setting = method_setting("coop").with_values({"prompt.init": "dataset-template", "data.root": "."})
    with pytest.raises(UserError, match=r"prompt\.init"):
        start_of(CellInputs(Cell(setting, "DescribableTextures", "few-shot", 1, 1)))
