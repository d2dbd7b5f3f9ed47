"""Split files of other people and machines: taken as the field's code takes them, or refused in one line.

Faults of single entries and of whole splits stand in `test_readers`.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dualpt.core.data.sampling import draw_few_shot
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError

GOOD: dict[str, Any] = {
    "train": [["banded/1.jpg", 0, "banded"], ["dotted/1.jpg", 1, "dotted"], ["dotted/2.jpg", 1, "dotted"]],
    "val": [["banded/2.jpg", 0, "banded"]],
    "test": [["dotted/3.jpg", 1, "dotted"]],
}


def write(folder: Path, content: object) -> Path:
    path = folder / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def with_first(path: object = "banded/1.jpg", label: object = 0, name: object = "banded") -> dict[str, Any]:
    return {**GOOD, "train": [[path, label, name], *GOOD["train"][1:]]}


@pytest.mark.parametrize(
    "content",
    [
        {**GOOD, "classes": ["banded", "dotted"], "version": 2},
        with_first(label="0"),
        with_first(label=0.0),
        with_first("banded\\1.jpg"),
        with_first("./banded/1.jpg"),
        with_first("banded//1.jpg"),
        with_first("/home/someone/data/dtd/images/banded/1.jpg"),
        with_first("C:\\data\\dtd\\images\\banded\\1.jpg"),
        with_first("./data/dtd/images/banded/1.jpg"),
        with_first("dtd/images/banded/1.jpg"),
        "\ufeff" + json.dumps(GOOD),
    ],
    ids=[
        "other keys",
        "label as string",
        "label as float",
        "Windows separators",
        "dot in front",
        "two slashes",
        "path of another machine",
        "path of a Windows machine",
        "path from a working folder",
        "path from the data root",
        "byte-order mark",
    ],
)
def test_what_means_the_same_is_the_same_split(tmp_path: Path, content: object) -> None:
    expected = read_split_file(write(tmp_path, GOOD))
    found = read_split_file(write(tmp_path, content), image_folder="dtd/images")
    assert found == expected
    assert draw_few_shot(found, 1, 1).fingerprint == draw_few_shot(expected, 1, 1).fingerprint


def test_an_image_listed_twice_stays_twice_as_in_the_fields_draw(tmp_path: Path) -> None:
    split = read_split_file(write(tmp_path, {**GOOD, "train": [*GOOD["train"], GOOD["train"][2]]}))
    assert split.train.count(Item("dotted/2.jpg", 1, "dotted")) == 2


def test_a_split_without_validation_images_is_one_as_imagenet_is(tmp_path: Path) -> None:
    assert read_split_file(write(tmp_path, {**GOOD, "val": []})).val == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1, column 1: not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"train": [], "train": [[]], "val": [], "test": []}', "'train' is given twice with different content"),
        ([], "expected an object with the lists"),
        ({"train": [], "test": []}, "holds no 'val'; expected the lists"),
        ({**GOOD, "test": None}, "'test' must be a list"),
        (
            with_first("/home/someone/pictures/banded/1.jpg"),
            "'train' entry 0: path '/home/someone/pictures/banded/1.jpg'",
        ),
        (with_first("D:/pictures/1.jpg"), "is absolute; cut it to the part under the image folder"),
        (with_first("~/1.jpg"), "is absolute"),
        (with_first("/x/dtd/images/../../secret.jpg"), "leads out of its folder"),
        (with_first(label="zero"), "label 'zero' is not a whole number"),
        (with_first(label="1.5"), "label '1.5' is not a whole number"),
        (with_first(label=None), "label None is not a whole number"),
        (with_first(label="9" * 5000), "is not a whole number"),
        ({**GOOD, "train": [*GOOD["train"], ["c/1.jpg", 10**12, "c"]]}, "label 2 is missing; relabel the classes"),
        (with_first("\ud800.jpg"), "holds half a character"),
        (with_first(name="ban\nded"), "holds control characters"),
        (with_first(label=5), "no training image for class 0 'banded'"),
    ],
)
def test_everything_else_is_one_line(tmp_path: Path, content: object, said: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UserError) as caught:
        read_split_file(path, image_folder="dtd/images")
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a named pipe"), (os.mkdir, "a folder")])
def test_what_is_no_file_is_one_line(tmp_path: Path, make: Any, kind: str) -> None:
    make(tmp_path / "split.json")
    with pytest.raises(
        UserError, match=f"split.json: is {kind} and cannot be read as a file; put the split file there"
    ):
        read_split_file(tmp_path / "split.json")


def test_without_an_image_folder_absolute_paths_have_no_meaning(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is absolute"):
        read_split_file(write(tmp_path, with_first("/data/dtd/images/banded/1.jpg")))


def test_a_split_drawn_in_place_of_the_fields_says_so(tmp_path: Path) -> None:
    parts = {"train": [["a.jpg", 0, "a"]], "val": [], "test": [["b.jpg", 0, "a"]]}
    file = tmp_path / "split.json"
    file.write_text(json.dumps(parts))
    plain = read_split_file(file)
    assert plain.note == ""
    file.write_text(json.dumps({**parts, "not_the_fields_split": "drawn with seed 1"}))
    drawn = read_split_file(file)
    assert drawn.note == "not the field's split (drawn with seed 1)"
    assert drawn.fingerprint == plain.fingerprint
    file.write_text(json.dumps({**parts, "not_the_fields_split": ["\u0007"]}))
    assert read_split_file(file).note == "not the field's split"
