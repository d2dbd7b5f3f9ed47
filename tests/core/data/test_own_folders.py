"""A user's own images, sorted into folders: parts in their usual spellings, or divided by a rule that never changes."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from dualpt.core.data.own_folders import read_own_folders
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError


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
        with pytest.raises(UserError, match=r"oak: 1 image\(s\), a class needs at least two"):
            read_own_folders(tmp_path)

    def test_a_class_that_is_only_tested(self, tmp_path: Path) -> None:
        for name in ("train/oak", "test/oak", "test/elm"):
            write_images(tmp_path / name, 2)
        with pytest.raises(UserError, match="no training image for class 0 'elm'"):
            read_own_folders(tmp_path)

    def test_a_folder_inside_the_folder(self, tmp_path: Path) -> None:
        write_images(tmp_path / "leaves" / "photos" / "oak", 4)
        with pytest.raises(UserError, match=r"leaves: no images, only folders \(photos/\); expected train/, test/"):
            read_own_folders(tmp_path)

    def test_images_without_class_folders(self, tmp_path: Path) -> None:
        write_images(tmp_path, 3)
        with pytest.raises(UserError, match="holds no class folders"):
            read_own_folders(tmp_path)


class TestSpellings:
    """What people have on disk, and what is said where it cannot be used."""

    @pytest.mark.parametrize(
        ("train", "val", "test"),
        [
            ("train", "val", "test"),
            ("train", "valid", "test"),
            ("Train", "", "Test"),
            ("TRAIN", "Validation", "TEST"),
            ("training", "", "testing"),
            ("training_set", "dev", "test_set"),
            ("Training Set", "val-set", "Test Set"),
        ],
    )
    def test_parts(self, tmp_path: Path, train: str, val: str, test: str) -> None:
        for part, count in ((train, 3), (val, 1), (test, 2)):
            for name in ("oak", "elm") if part else ():
                write_images(tmp_path / part / name, count)
        (tmp_path / "labels").mkdir()  # no images: no part and no class
        (tmp_path / "labels" / "oak.txt").touch()
        split = read_own_folders(tmp_path)
        assert [len(part) for part in (split.train, split.val, split.test)] == [6, 2 if val else 0, 4]
        assert split.train[0] == Item(f"{train}/elm/000.png", 0, "elm")

    def test_classes_called_like_parts(self, tmp_path: Path) -> None:
        for name in ("train", "plane", "test"):
            write_images(tmp_path / name, 4)
        assert read_own_folders(tmp_path).class_names == ("plane", "test", "train")

    @pytest.mark.parametrize(
        ("folders", "said"),
        [
            (("train/a", "val/a"), "holds train/, val/ and no test/; rename val/ to test/ (validation images are then"),
            (("Train/a", "Valid/a"), "rename Valid/ to test/ (validation images are then drawn from Train/, as"),
            (("train/a",), "holds train/ and no test/; add a test/ folder, or have its images divided: name train/"),
            (("test/a",), "holds test/ and no train/; expected train/, test/ and perhaps val/"),
            (("val/a", "test/a"), "holds test/, val/ and no train/; expected train/"),
            (("train/a", "training/a", "test/a"), "both train/ and training/ may be the train images; keep one"),
            (("train/a", "test/a", "b"), "holds test/, train/ beside b/; expected train/"),
            (("train/a", "test"), "test: holds images and no class folders, beside train/ with classes; sort its"),
            (("train/a", "test/b"), "no training image for class 1 'b'"),
        ],
    )
    def test_what_cannot_be_told(self, tmp_path: Path, folders: tuple[str, ...], said: str) -> None:
        for folder in folders:
            write_images(tmp_path / folder, 2)
        with pytest.raises(UserError) as caught:
            read_own_folders(tmp_path)
        assert said in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


GOLDEN_TRAIN = [f"{name}/{number}.png" for name in ("elm", "oak") for number in ("000", "001", "005", "007", "009")]
