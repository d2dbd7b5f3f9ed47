"""Folders that say the classes: ImageNet's four variants, and a user's own. ImageNet itself: `test_readers`."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.class_folders import read_own_folders
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError


def fault(root: Path, name: str) -> str:
    with pytest.raises(UserError) as caught:
        read_split(dataset_info(name), root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestImageNetVariants:
    @pytest.mark.parametrize(
        ("name", "class_names"),
        [
            ("ImageNetV2", ("tench", "missile", "missile", "sunglasses")),
            ("ImageNetSketch", ("tench", "missile", "missile", "sunglasses")),
            ("ImageNetA", ("tench", "sunglasses")),
            ("ImageNetR", ("tench", "sunglasses")),
        ],
    )
    def test_classes_are_those_with_a_folder(self, miniature: Path, name: str, class_names: tuple[str, ...]) -> None:
        split = read_split(dataset_info(name), miniature)
        assert split.class_names == class_names
        assert (split.train, split.val) == ((), ())
        assert Counter(item.label for item in split.test) == dict.fromkeys(range(len(class_names)), 3)

    def test_labels_are_found_by_wnid_or_number(self, miniature: Path) -> None:
        v2, a = (read_split(dataset_info(name), miniature) for name in ("ImageNetV2", "ImageNetA"))
        assert v2.test[-1] == Item("3/n04356056_2.JPEG", 3, "sunglasses")
        assert a.test[-1] == Item("n04356056/n04356056_2.JPEG", 1, "sunglasses")

    def test_numbers_are_places_of_the_sorted_wnids(self, miniature_copy: Path) -> None:
        names = miniature_copy / "imagenetv2" / "classnames.txt"
        names.write_text("".join(reversed(names.read_text().splitlines(keepends=True))))
        assert read_split(dataset_info("ImageNetV2"), miniature_copy).test[0].class_name == "tench"

    def test_imagenets_own_list_serves_where_none_was_copied(self, miniature_copy: Path) -> None:
        assert not (miniature_copy / "imagenet-rendition" / "classnames.txt").exists()
        (miniature_copy / "imagenet" / "classnames.txt").unlink()
        assert "imagenet-rendition/classnames.txt: the list of ImageNet's class names is missing" in fault(
            miniature_copy, "ImageNetR"
        )

    def test_a_folder_that_is_no_class(self, miniature_copy: Path) -> None:
        (miniature_copy / "imagenet-sketch" / "images" / "n99999999").mkdir()
        assert "class folders n99999999 are not in classnames.txt" in fault(miniature_copy, "ImageNetSketch")

    def test_a_missing_number(self, miniature_copy: Path) -> None:
        shutil.rmtree(miniature_copy / "imagenetv2" / "imagenetv2-matched-frequency-format-val" / "2")
        assert "class folders 2 missing; unpack all of ImageNet-V2" in fault(miniature_copy, "ImageNetV2")

    def test_a_number_too_many(self, miniature_copy: Path) -> None:
        (miniature_copy / "imagenetv2" / "imagenetv2-matched-frequency-format-val" / "007").mkdir()
        assert "class folders 007 are not 0 to 3" in fault(miniature_copy, "ImageNetV2")

    def test_a_wnid_with_two_lines(self, miniature_copy: Path) -> None:
        names = miniature_copy / "imagenet-adversarial" / "classnames.txt"
        names.write_text(names.read_text() + "n01440764 carp\n")
        assert "line 5: 'n01440764' has a line already" in fault(miniature_copy, "ImageNetA")

    def test_no_images_at_all(self, miniature_copy: Path) -> None:
        images = miniature_copy / "imagenet-adversarial" / "imagenet-a"
        for folder in images.glob("n*"):
            shutil.rmtree(folder)
            folder.mkdir()
        assert "'test' lists no images" in fault(miniature_copy, "ImageNetA")


def write_images(folder: Path, count: int, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (5, 4), (number * 20, 0, 0)).save(folder / f"{number:03d}{suffix}")


class TestOwnFolders:
    def test_each_class_is_divided_half_a_fifth_and_the_rest(self, tmp_path: Path) -> None:
        write_images(tmp_path / "oak", 10)
        write_images(tmp_path / "elm", 20, ".JPG")
        (tmp_path / "oak" / "notes.txt").touch()
        split = read_own_folders(tmp_path)
        assert split.class_names == ("elm", "oak")
        counts = [Counter(item.class_name for item in part) for part in (split.train, split.val, split.test)]
        assert counts == [{"elm": 10, "oak": 5}, {"elm": 4, "oak": 2}, {"elm": 6, "oak": 3}]
        paths = [item.path for part in (split.train, split.val, split.test) for item in part]
        assert len(set(paths)) == 30

    def test_the_division_is_the_same_everywhere(self, tmp_path: Path) -> None:
        write_images(tmp_path / "oak", 10)
        write_images(tmp_path / "elm", 10)
        train = [item.path for item in read_own_folders(tmp_path).train]
        assert train == GOLDEN_TRAIN

    def test_a_new_image_moves_few_others(self, tmp_path: Path) -> None:
        write_images(tmp_path / "oak", 40)
        before = read_own_folders(tmp_path)
        write_images(tmp_path / "oak", 41)
        assert len(set(before.train) - set(read_own_folders(tmp_path).train)) <= 1

    def test_folders_train_and_test_divide_by_themselves(self, tmp_path: Path) -> None:
        for part, count in (("train", 3), ("test", 2)):
            for name in ("oak", "elm"):
                write_images(tmp_path / part / name, count)
        split = read_own_folders(tmp_path)
        assert [len(part) for part in (split.train, split.val, split.test)] == [6, 0, 4]
        assert split.test[0] == Item("test/elm/000.png", 0, "elm")

    def test_two_images_are_enough(self, tmp_path: Path) -> None:
        write_images(tmp_path / "oak", 2)
        split = read_own_folders(tmp_path)
        assert [len(part) for part in (split.train, split.val, split.test)] == [1, 0, 1]

    def test_a_class_of_one_image(self, tmp_path: Path) -> None:
        write_images(tmp_path / "oak", 1)
        with pytest.raises(UserError, match=r"oak: 1 image\(s\), a class needs two"):
            read_own_folders(tmp_path)

    def test_a_class_that_is_only_tested(self, tmp_path: Path) -> None:
        for name in ("train/oak", "test/oak", "test/elm"):
            write_images(tmp_path / name, 2)
        with pytest.raises(UserError, match="no training image for class 0 'elm'"):
            read_own_folders(tmp_path)

    def test_images_without_class_folders(self, tmp_path: Path) -> None:
        write_images(tmp_path, 3)
        with pytest.raises(UserError, match="holds no class folders"):
            read_own_folders(tmp_path)


GOLDEN_TRAIN = [f"{name}/{number}.png" for name in ("elm", "oak") for number in ("000", "001", "005", "007", "009")]
