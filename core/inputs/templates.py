"""Which template the classes of a cell are written in, and what its contexts begin with. Loads no torch."""

from typing import assert_never

from dualpt.core.config.activity import uses_llm
from dualpt.core.config.setting import Setting
from dualpt.core.inputs.reading import CellInputs, Dataset
from dualpt.core.prompts.init_path import init_words


def template_of(setting: Setting, dataset: Dataset) -> str:
    """The template that classes are written in, for prompts to begin or be aligned with and for classifiers."""
    match setting.alignment.llm_target if uses_llm(setting) else "template":
        case "kgcoop-template":
            return dataset.info.kgcoop_template
        case "prograd-template":
            return dataset.info.prograd_template
        case "template" | "descriptions":
            return dataset.template
        case target:
            assert_never(target)


def start_of(inputs: CellInputs) -> str | None:
    """What a cell's contexts begin with: words, the path of a file, or nothing.

    Raises:
        UserError: the words are those before the class name in the template, and there are none.
    """
    setting = inputs.cell.setting
    return init_words(setting.prompt.init, template_of(setting, inputs.source))
