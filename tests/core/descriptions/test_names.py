"""Spellings of one name are equal, and no two names become one."""

from pathlib import Path

import pytest

from dualpt.core.descriptions.names import Suggestion, loose_name, names_class, normal_name, suggestion, suggestions


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


SCENES = ("outdoor control tower", "interior balcony", "exterior balcony", "backseat car interior", "abbey")
BRACKETED = ("control tower (outdoor)", "balcony (interior)", "balcony (exterior)", "car interior (backseat)", "aviary")


def test_words_in_brackets_count_as_words() -> None:
    """As CuPL's bank spells SUN397's classes; by spelling, "car interior (backseat)" is near "interior balcony"."""
    expected = {name: Suggestion(other, "words") for name, other in zip(SCENES[:4], BRACKETED, strict=False)}
    assert suggestions(SCENES, BRACKETED) == expected


def test_the_year_of_a_car_may_stand_behind() -> None:
    cars = {"2012 Audi TTS Coupe": "Audi TTS Coupe 2012", "2012 Ram C/V Cargo Van": "Ram CV Cargo Van 2012"}
    assert suggestions(cars, cars.values()) == {name: Suggestion(other, "words") for name, other in cars.items()}


def test_only_one_candidate_for_one_name_is_suggested() -> None:
    assert suggestions(["finch snow"], ["snow (finch)", "Snow Finch"]) == {}
    assert suggestions(["finch snow", "snow (finch)"], ["Snow Finch"]) == {}
    assert suggestions(["A340-200", "A340-300"], ["A340-30"]) == {"A340-300": Suggestion("A340-30", "spelling")}


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
