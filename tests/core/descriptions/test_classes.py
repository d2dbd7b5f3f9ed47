"""Class names by label, from every kind of file that lists them."""

import json
from pathlib import Path

import pytest

from dualpt.core.data.catalog import REAL_GRID, dataset_info
from dualpt.core.data.readers import read_split
from dualpt.core.descriptions.classes import DatasetClass, classes_of, titles
from dualpt.core.errors import UserError

EUROSAT, IMAGENET = dataset_info("EuroSAT"), dataset_info("ImageNet")
SPLIT = {"train": [["b/1.jpg", 1, "River"], ["a/1.jpg", 0, "Forest"]], "val": [], "test": [["a/2.jpg", 0, "Forest"]]}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def names(*words: str) -> tuple[DatasetClass, ...]:
    return tuple(map(DatasetClass, words))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("split.json", SPLIT),
        ("names.json", ["Forest", "River"]),
        ("names.txt", "Forest\n\nRiver\n"),
        ("names.txt", "\ufeffForest\r\nRiver"),
    ],
)
def test_files(tmp_path: Path, name: str, content: object) -> None:
    assert classes_of(EUROSAT, None, write(tmp_path / name, content)) == names("Forest", "River")


def test_a_folder_of_files(tmp_path: Path) -> None:
    write(tmp_path / "EuroSAT.txt", "Forest\nRiver\n")
    assert classes_of(EUROSAT, None, tmp_path) == names("Forest", "River")
    with pytest.raises(UserError, match=r"holds no ImageNet\.json and no ImageNet\.txt"):
        classes_of(IMAGENET, None, tmp_path)


def test_the_data_root_needs_no_images(tmp_path: Path) -> None:
    write(tmp_path / "eurosat" / EUROSAT.split_file, SPLIT)
    assert classes_of(EUROSAT, tmp_path, None) == names("Forest", "River")


def test_imagenet_is_sorted_by_wnid_as_its_folders_are(tmp_path: Path) -> None:
    write(tmp_path / "imagenet" / "classnames.txt", "n02 tench\n".replace("n02", "n00000002") + "n00000001 missile\n")
    both = (DatasetClass("missile", "n00000001"), DatasetClass("tench", "n00000002"))
    assert classes_of(IMAGENET, tmp_path, None) == both
    (tmp_path / "imagenet" / "images" / "train" / "n00000002").mkdir(parents=True)
    assert classes_of(IMAGENET, tmp_path, None) == both[1:]


@pytest.mark.parametrize("name", REAL_GRID)
def test_they_are_the_splits_own(miniature: Path, name: str) -> None:
    info = dataset_info(name)
    found = [item.name for item in classes_of(info, miniature, None)]
    assert tuple(found) == read_split(info, miniature).class_names


def test_variants_have_no_bank_of_their_own(miniature: Path) -> None:
    with pytest.raises(UserError, match="ImageNetA is described by ImageNet's bank; name ImageNet"):
        classes_of(dataset_info("ImageNetA"), miniature, None)


def test_mini_datasets_are_known_without_being_drawn(private_cache: Path) -> None:
    assert len(classes_of(dataset_info("mini-pets"), None, None)) == 12
    assert not private_cache.exists()


def test_names_that_occur_twice_are_told_apart() -> None:
    assert titles([DatasetClass("missile", "n1"), DatasetClass("tench"), DatasetClass("missile")]) == [
        "missile (n1)",
        "tench",
        "missile (label 2)",
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", None, "no such file of class names"),
        ("a.txt", "\n", "holds no class names"),
        ("a.txt", "Forest\nRiver\nForest\n", "'Forest' occurs twice"),
        ("a.txt", "n00000001 Forest\nRiver\n", "'River' has no wnid, other lines have one"),
        ("a.txt", "n00000001 Forest\nn00000001 River\n", "a wnid occurs twice"),
        ("a.json", "[", "line 1, column 2: not JSON"),
        ("a.json", {"Forest": 0}, "neither a split file"),
        ("a.json", {"train": [["a.jpg", 0, "River"]]}, "holds no 'val'"),
    ],
)
def test_faults(tmp_path: Path, name: str, content: object, words: str) -> None:
    path = tmp_path / name if content is None else write(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        classes_of(EUROSAT, None, path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_says_what_the_classes_are() -> None:
    with pytest.raises(UserError, match=r"the class names of EuroSAT are not known; give data\.root=FOLDER"):
        classes_of(EUROSAT, None, None)


def test_a_list_of_imagenets_names_without_those_that_occur_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="998 names, ImageNet has 1000"):
        classes_of(IMAGENET, None, write(tmp_path / "a.txt", "".join(f"kind {n}\n" for n in range(998))))
