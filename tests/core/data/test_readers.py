"""Splits are read as the field writes them, and every fault is one line that names the file."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import Item, check_files
from dualpt.core.errors import UserError

TEXTURES = dataset_info("DescribableTextures")
Entry = list[Any]


def split_file(root: Path) -> Path:
    return root / "dtd" / TEXTURES.split_file


def edit(root: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(split_file(root).read_text())
    change(content)
    split_file(root).write_text(json.dumps(content))


def fault(root: Path, name: str = "DescribableTextures") -> str:
    with pytest.raises(UserError) as caught:
        read_split(dataset_info(name), root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_split_file(tiny_textures: Path) -> None:
    split = read_split(TEXTURES, tiny_textures)
    assert [len(part) for part in (split.train, split.val, split.test)] == [18, 6, 12]
    assert split.class_names == ("banded", "polka_dotted", "woven")
    assert split.train[0] == Item("banded/banded_0000.png", 0, "banded")
    check_files(split.train + split.val + split.test, TEXTURES.image_root(tiny_textures))


def test_real_photographs_in_the_fields_layout(shared_data: Path) -> None:
    root = shared_data / "dtd_10classes"
    split = read_split(TEXTURES, root)
    assert len(split.class_names) == 10
    check_files(split.train + split.val + split.test, TEXTURES.image_root(root))


@pytest.mark.parametrize(
    ("name", "sizes", "n_classes"),
    [
        ("DescribableTextures", [2820, 1128, 1692], 47),
        ("EuroSAT", [13500, 5400, 8100], 10),
        ("OxfordPets", [2944, 736, 3669], 37),
    ],
)
def test_real_split_files(shared_data: Path, tmp_path: Path, name: str, sizes: list[int], n_classes: int) -> None:
    info = dataset_info(name)
    info.image_root(tmp_path).mkdir(parents=True)
    content = (shared_data / "splits" / info.split_file).read_text()
    (tmp_path / info.folder / info.split_file).write_text(content)
    split = read_split(info, tmp_path)
    assert [len(part) for part in (split.train, split.val, split.test)] == sizes
    assert len(split.class_names) == n_classes


def test_the_fingerprint_follows_content_and_order_but_not_the_place(tiny_textures: Path, tmp_path: Path) -> None:
    before = read_split(TEXTURES, tiny_textures).fingerprint
    moved = tmp_path / "elsewhere"
    tiny_textures.rename(moved)
    assert read_split(TEXTURES, moved).fingerprint == before
    edit(moved, lambda content: content["train"].reverse())
    assert read_split(TEXTURES, moved).fingerprint != before


class TestFolders:
    def test_no_root(self, tmp_path: Path) -> None:
        assert "data.root: no folder" in fault(tmp_path / "nowhere")

    def test_the_datasets_own_folder_given_as_root(self, tiny_textures: Path) -> None:
        assert f"did you mean '{tiny_textures}'?" in fault(tiny_textures / "dtd")

    def test_a_root_without_the_dataset(self, tiny_textures: Path) -> None:
        assert "holds no folder 'eurosat' (EuroSAT)" in fault(tiny_textures, "EuroSAT")

    def test_no_images(self, tiny_textures: Path) -> None:
        (tiny_textures / "dtd" / "images").rename(tiny_textures / "dtd" / "pictures")
        assert "the images of DescribableTextures are missing" in fault(tiny_textures)

    def test_no_split_file(self, tiny_textures: Path) -> None:
        split_file(tiny_textures).unlink()
        assert "split_zhou_DescribableTextures.json: the split file of DescribableTextures is missing" in fault(
            tiny_textures
        )


class TestMalformedSplitFiles:
    def test_not_json(self, tiny_textures: Path) -> None:
        split_file(tiny_textures).write_text('{"train": [\n  ["a", 0 "b"]]}')
        assert "line 2, column 11: not JSON" in fault(tiny_textures)

    def test_not_text(self, tiny_textures: Path) -> None:
        split_file(tiny_textures).write_bytes(b"\xff\xfe\x00")
        assert "cannot be read" in fault(tiny_textures)

    def test_a_missing_part(self, tiny_textures: Path) -> None:
        edit(tiny_textures, lambda content: content.pop("val"))
        assert "holds no 'val'; expected the lists 'train', 'val' and 'test'" in fault(tiny_textures)

    def test_a_part_that_is_no_list(self, tiny_textures: Path) -> None:
        edit(tiny_textures, lambda content: content.update(val={"a": 1}))
        assert "'val' must be a list" in fault(tiny_textures)

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            (["banded/x.png", 0], "is not a list of three"),
            ("banded/x.png", "is not a list of three"),
            ([7, 0, "banded"], "path 7 is not a file name"),
            (["", 0, "banded"], "path '' is not a file name"),
            (["/etc/passwd", 0, "banded"], "path '/etc/passwd' is absolute"),
            (["C:\\pictures\\x.png", 0, "banded"], "is absolute"),
            (["/home/dtd/x.png", 0, "banded"], "is absolute"),
            (["../x.png", 0, "banded"], "leads out of its folder"),
            (["banded/..\\..\\x.png", 0, "banded"], "leads out of its folder"),
            (["./", 0, "banded"], "is empty"),
            (["x\0.png", 0, "banded"], "is not a file name"),
            (["x.png", "banded", 0], "class name 0 is not a name"),
            (["x.png", "one", "banded"], "label 'one' is not a whole number"),
            (["x.png", 0.5, "banded"], "label 0.5 is not a whole number"),
            (["x.png", True, "banded"], "label True is not a whole number"),
            ({"impath": "x.png", "label": 0, "classname": "banded"}, "is not a list of three"),
            (["x.png", 0, None], "class name None is not a name"),
            (["x.png", 0, " "], "class name ' ' is not a name"),
        ],
    )
    def test_an_entry(self, tiny_textures: Path, entry: object, words: str) -> None:
        edit(tiny_textures, lambda content: content["test"].insert(3, entry))
        line = fault(tiny_textures)
        assert words in line
        assert "'test' entry 3" in line


class TestInconsistentSplits:
    def test_an_empty_part(self, tiny_textures: Path) -> None:
        edit(tiny_textures, lambda content: content["test"].clear())
        assert "'test' lists no images" in fault(tiny_textures)

    def test_labels_with_a_gap(self, tiny_textures: Path) -> None:
        def shift(content: dict[str, list[Entry]]) -> None:
            for part in content.values():
                for entry in part:
                    entry[1] += entry[1] == 2

        edit(tiny_textures, shift)
        assert "labels must be 0..2, but label 2 is missing" in fault(tiny_textures)

    def test_a_negative_label(self, tiny_textures: Path) -> None:
        edit(tiny_textures, lambda content: content["train"].append(["banded/banded_0000.png", -1, "odd"]))
        assert "label -1 is negative" in fault(tiny_textures)

    def test_a_label_with_two_names(self, tiny_textures: Path) -> None:
        edit(tiny_textures, lambda content: content["val"][0].__setitem__(2, "striped"))
        assert "label 0 has two names, 'banded' and 'striped' ('val'" in fault(tiny_textures)

    def test_a_class_without_training_images(self, tiny_textures: Path) -> None:
        edit(tiny_textures, lambda content: content.update(train=[e for e in content["train"] if e[1] != 1]))
        assert "no training image for class 1 'polka_dotted'" in fault(tiny_textures)


def test_missing_images_are_counted_and_named(tiny_textures: Path) -> None:
    split = read_split(TEXTURES, tiny_textures)
    images = TEXTURES.image_root(tiny_textures)
    for index in range(5):
        (images / "woven" / f"woven_{index:04d}.png").unlink()
    with pytest.raises(UserError, match=r"woven_0000.png, .*, woven/woven_0002.png and 2 more missing"):
        check_files(split.train, images)
    (images / "banded").rename(images / "Banded")
    with pytest.raises(UserError, match=r"banded/banded_0000.png"):
        check_files(split.train, images)


def write_imagenet(root: Path) -> Path:
    folder = root / "imagenet"
    names = {"n02": "missile", "n01": "tench", "n03": "missile"}
    for part, count in (("train", 3), ("val", 2)):
        for wnid in names:
            (folder / "images" / part / wnid).mkdir(parents=True)
            for index in reversed(range(count)):
                (folder / "images" / part / wnid / f"{wnid}_{index}.JPEG").touch()
    (folder / "images" / "train" / "n01" / ".hidden").touch()
    (folder / "classnames.txt").write_text("".join(f"{wnid} {name}\n" for wnid, name in names.items()))
    return folder


class TestImageNet:
    def test_labels_are_places_of_sorted_folders(self, tmp_path: Path) -> None:
        write_imagenet(tmp_path)
        split = read_split(dataset_info("ImageNet"), tmp_path)
        assert split.class_names == ("tench", "missile", "missile")  # one name, two labels
        assert split.train[:2] == (Item("train/n01/n01_0.JPEG", 0, "tench"), Item("train/n01/n01_1.JPEG", 0, "tench"))
        assert [item.label for item in split.test] == [0, 0, 1, 1, 2, 2]
        assert split.val == ()
        check_files(split.train + split.test, tmp_path / "imagenet" / "images")

    def test_no_class_names(self, tmp_path: Path) -> None:
        (write_imagenet(tmp_path) / "classnames.txt").unlink()
        assert "classnames.txt: the list of ImageNet's class names is missing" in fault(tmp_path, "ImageNet")

    def test_a_line_without_a_name(self, tmp_path: Path) -> None:
        (write_imagenet(tmp_path) / "classnames.txt").write_text("n01 tench\nn02\nn03 missile\n")
        assert "classnames.txt: line 2: expected '<wnid> <name>', got 'n02'" in fault(tmp_path, "ImageNet")

    def test_a_folder_without_a_name(self, tmp_path: Path) -> None:
        (write_imagenet(tmp_path) / "classnames.txt").write_text("n01 tench\nn03 missile\n")
        assert re.search(r"train: class folders n02 do not match", fault(tmp_path, "ImageNet"))

    def test_a_class_without_test_folder(self, tmp_path: Path) -> None:
        val = write_imagenet(tmp_path) / "images" / "val"
        (val / "n02").rename(val.parent / "n02")
        assert re.search(r"val: class folders n02 do not match", fault(tmp_path, "ImageNet"))

    def test_unsorted_test_images(self, tmp_path: Path) -> None:
        val = write_imagenet(tmp_path) / "images" / "val"
        val.rename(val.with_name("sorted"))
        val.mkdir()
        (val / "ILSVRC2012_val_00000001.JPEG").touch()
        assert "val: holds no class folders; sort its images" in fault(tmp_path, "ImageNet")


def write_aircraft(root: Path) -> Path:
    folder = root / "fgvc_aircraft"
    (folder / "images").mkdir(parents=True)
    (folder / "variants.txt").write_text("707-320\nDC-3\nCessna 172\n")
    for place, part in enumerate(("train", "val", "test")):
        lines = [f"{place}00 Cessna 172", f"{place}01 707-320", f"{place}02 DC-3"]
        (folder / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")
    return folder


class TestAircraft:
    def test_labels_are_lines_of_the_class_list(self, tmp_path: Path) -> None:
        write_aircraft(tmp_path)
        split = read_split(dataset_info("FGVCAircraft"), tmp_path)
        assert split.class_names == ("707-320", "DC-3", "Cessna 172")
        assert split.train[0] == Item("000.jpg", 2, "Cessna 172")
        assert [len(part) for part in (split.train, split.val, split.test)] == [3, 3, 3]

    @pytest.mark.parametrize("file", ["variants.txt", "images_variant_val.txt"])
    def test_a_missing_file(self, tmp_path: Path, file: str) -> None:
        (write_aircraft(tmp_path) / file).unlink()
        assert f"{file}: " in fault(tmp_path, "FGVCAircraft")

    def test_an_unknown_class(self, tmp_path: Path) -> None:
        (write_aircraft(tmp_path) / "images_variant_test.txt").write_text("200 707-320\n201 Concorde\n")
        assert "images_variant_test.txt: line 2: class 'Concorde' is not in variants.txt" in fault(
            tmp_path, "FGVCAircraft"
        )

    @pytest.mark.parametrize("image", ["../../secret", "/etc/passwd", "a\\b"])
    def test_an_image_outside_its_folder(self, tmp_path: Path, image: str) -> None:
        (write_aircraft(tmp_path) / "images_variant_test.txt").write_text(f"200 707-320\n{image} DC-3\n")
        said = fault(tmp_path, "FGVCAircraft")
        assert f"images_variant_test.txt: line 2: '{image}' does not name an image in images/" in said

    def test_a_class_listed_twice(self, tmp_path: Path) -> None:
        (write_aircraft(tmp_path) / "variants.txt").write_text("707-320\nDC-3\nDC-3\nCessna 172\n")
        assert "a class name occurs twice" in fault(tmp_path, "FGVCAircraft")
