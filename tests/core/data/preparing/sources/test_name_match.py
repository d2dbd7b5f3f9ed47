"""Images are recognised by the names that a split lists, however deep they lie; none is taken for another's."""

import pytest

from dualpt.core.data.preparing.sources.name_match import NameIndex, find_images, is_image


def found(folders: dict[str, list[str]], wanted: dict[str, list[str]]) -> dict[str, list[tuple[str, dict[str, str]]]]:
    places = find_images(folders, NameIndex(wanted))
    return {name: [(place.above, place.files) for place in each] for name, each in places.items()}


@pytest.mark.parametrize(
    "folder",
    [
        "/x/Handstand_Pushups",
        "/x/HandstandPushups",
        "/x/handstand-pushups",
        "/x/Handstand Pushups",
        "/x/HandStandPushups",
    ],
)
def test_folders_are_spelt_in_many_ways(folder: str) -> None:
    key, name = "Handstand_Pushups/v_HandStandPushups_g01_c01.jpg", "v_HandStandPushups_g01_c01.jpg"
    assert found({folder: [name]}, {"UCF101": [key]}) == {"UCF101": [("/x", {key: f"{folder}/{name}"})]}


def test_file_names_are_not() -> None:
    assert found({"/x/banded": ["Banded_0002.jpg", "banded_0002.png"]}, {"D": ["banded/banded_0002.jpg"]}) == {}


def test_a_name_that_only_one_image_has_needs_no_folder() -> None:
    key = "a/abbey/sun_aaalbzqrimafwbiv.jpg"
    name = key.rpartition("/")[2]
    assert found({"/flat": [name]}, {"SUN397": [key]}) == {"SUN397": [("/flat", {key: f"/flat/{name}"})]}
    assert found({"/flat": ["image_0001.jpg"]}, {"Caltech101": ["Faces/image_0001.jpg"]}) == {}


def test_nested_folders_of_mirrors() -> None:
    keys = ["cars_train/00001.jpg", "cars_test/00001.jpg"]
    folders = {"/k/cars_train/cars_train": ["00001.jpg"], "/k/cars_test/cars_test": ["00001.jpg"]}
    assert sorted(above for above, _ in found(folders, {"StanfordCars": keys})["StanfordCars"]) == [
        "/k/cars_test",
        "/k/cars_train",
    ]


def test_cars_other_numbering_is_not_taken() -> None:
    assert found({"/k/car_ims": ["000001.jpg"]}, {"StanfordCars": ["cars_train/00001.jpg"]}) == {}


def test_foods_numbers_are_no_aircraft() -> None:
    aircraft = {"FGVCAircraft": ["0034309.jpg", "0034310.jpg"]}
    food = ["0034309.jpg", "1005649.jpg", "1011328.jpg"]
    assert found({"/food/apple_pie": food}, aircraft) == {}
    assert list(found({"/data/images": ["0034309.jpg", "0034310.jpg"]}, aircraft)) == ["FGVCAircraft"]


def test_a_name_with_its_folder_comes_before_a_bare_one() -> None:
    index = NameIndex({"FGVCAircraft": ["0034309.jpg"], "Food101": ["apple_pie/0034309.jpg"]})
    assert [match.dataset for match in index.match("food-101/images/apple_pie", ["0034309.jpg"])] == ["Food101"]
    assert [match.dataset for match in index.match("data/images", ["0034309.jpg"])] == ["FGVCAircraft"]


def test_the_folder_with_the_most_comes_first() -> None:
    keys = [f"banded/banded_{n:04d}.jpg" for n in range(4)]
    names = [key.rpartition("/")[2] for key in keys]
    places = found({"/a/b/banded": names, "/a/banded": names, "/few/banded": names[:2]}, {"D": keys})["D"]
    assert [above for above, _ in places] == ["/a", "/a/b", "/few"]


def test_what_counts_as_an_image() -> None:
    assert is_image("a.JPG")
    assert is_image("b.gif")
    assert not any(map(is_image, (".a.jpg", "README.txt", "a.mat", "jpg")))
