"""Spellings of one name are equal, and no two names become one."""

from pathlib import Path

import pytest

from dualpt.core.descriptions.names import loose_name, names_class, normal_name, suggestion


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Apply Eye Makeup", "ApplyEyeMakeup"),
        ("apply_eye_make-up", "Apply Eye Makeup"),
        ("crème brûlée", "Creme Brulee"),
        ("The abbey", "abbey"),
        ("geoffroy's cat", "Geoffroys cat"),
        ("mac & cheese", "mac and cheese"),
        ("St. Bernard", "st bernard"),
    ],
)
def test_loose_names_that_are_equal(one: str, other: str) -> None:
    assert loose_name(one) == loose_name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("An-12", "12"), ("A340-200", "A340-300"), ("snow finch", "finch snow"), ("dog", "dogs"), ("1.5 t", "15 t")],
)
def test_loose_names_that_differ(one: str, other: str) -> None:
    assert loose_name(one) != loose_name(other)


def test_no_two_classes_of_a_real_dataset_become_one(shared_data: Path) -> None:
    for file in sorted((shared_data / "classnames").glob("[A-Z]*.txt")):
        names = file.read_text().splitlines()
        assert len({loose_name(name) for name in names}) == len(set(names)), file.name


@pytest.mark.parametrize(
    ("name", "expected"),
    [("finch_snow", "Snow finch"), ("marlets", "marlet"), ("trees", "tree"), ("marlett", "marlet"), ("xyz", None)],
)
def test_suggestions(name: str, expected: str | None) -> None:
    assert suggestion(name, ["Snow finch", "marlet", "tree"]) == expected


@pytest.mark.parametrize(
    ("sentence", "name", "named"),
    [
        ("A Red-tailed goby swims.", "red_tailed goby", True),
        ("Three marlets, all striped.", "marlet", True),
        ("Glasses on a nose.", "glass", True),
        ("A marletine coat.", "marlet", False),
        ("A goby, tailed and red.", "red-tailed goby", False),
        ("An F-16A/B on the ground.", "F-16A/B", True),
        ("Nothing to see.", "???", False),
    ],
)
def test_whether_a_sentence_names_a_class(sentence: str, name: str, named: bool) -> None:
    assert names_class(sentence, name) is named


def test_normal_names_keep_punctuation() -> None:
    assert normal_name("Geoffroy's_Cat") == "geoffroy's cat"
