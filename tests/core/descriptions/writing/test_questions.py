"""Questions name their class, cover the templates, and are the same whenever they are asked."""

from pathlib import Path

import pytest

from dualpt.core.descriptions.classes import DatasetClass
from dualpt.core.descriptions.writing.questions import TEMPLATES, Questionnaire, read_templates
from dualpt.core.errors import UserError

CLASSES = tuple(DatasetClass(f"kind_{letter}") for letter in "abcdefghijkl")


def questionnaire(**changes: object) -> Questionnaire:
    options = {"photo": "a photo of a {}, a type of pet.", "templates": TEMPLATES, "class_name": "any", "seed": 1}
    return Questionnaire(CLASSES, **{**options, **changes})  # type: ignore[arg-type]


def test_templates_take_turns() -> None:
    asked = [questionnaire().question(0, number).template for number in range(6)]
    assert asked == [0, 1, 2, 3, 0, 1]


def test_the_class_stands_in_the_datasets_own_template() -> None:
    assert 'in "a photo of a kind b, a type of pet".' in questionnaire().question(1, 0).text


def test_others_are_drawn_from_the_datasets_other_classes() -> None:
    first, again = questionnaire().question(2, 2).text, questionnaire().question(2, 6).text
    assert first.count("kind c") == 2
    assert first.count("kind ") == 2 + 8
    assert first != again


def test_each_sample_has_its_own_seed() -> None:
    seeds = {questionnaire().question(label, number).seed for label in range(12) for number in range(12)}
    assert len(seeds) == 144
    assert questionnaire(seed=2).question(0, 0).seed != questionnaire().question(0, 0).seed
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_policy_is_said() -> None:
    assert 'Use the words "kind a".' in questionnaire(class_name="required").question(0, 0).text
    assert 'Do not use the words "kind a".' in questionnaire(class_name="forbidden").question(0, 0).text


def test_templates_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "templates.txt"
    file.write_text("# remarks\nWhat is {class}?\n\nHow does {photo} look?\nWhat is {class}?\n")
    assert read_templates(file) == ("What is {class}?", "How does {photo} look?")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# nothing\n", "holds no template"),
        ("What is {clas}?", "unknown placeholder '{clas}'; did you mean 'class'?"),
        ("What is {}?", "unknown placeholder '{}'"),
        ("What is {class?", "write {{ for a brace"),
        ("What is it, and what are {others}?", "names no class; add {class} or {photo}"),
        (None, "cannot be read"),
    ],
)
def test_faults(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "templates.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError) as caught:
        read_templates(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
