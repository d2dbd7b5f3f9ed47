"""Folders that say the classes: ImageNet's four variants. ImageNet: `test_readers`; own ones: `test_own_folders`."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from dualpt.core.data.catalog import dataset_info
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
