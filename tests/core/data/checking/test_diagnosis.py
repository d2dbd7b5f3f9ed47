"""What is wrong with a data root is said in words that lead to the remedy, and the remedy works."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dualpt.core.data import class_folders, readers, split_file
from dualpt.core.data.checking.diagnosis import Diagnosis, diagnose
from dualpt.core.data.preparing.execution import carry_out
from dualpt.core.data.preparing.planner import PREPARED, look_around, plan_datasets
from dualpt.core.data.splits import Item, Split, make_split
from tests.core.data.preparing.miniatures import image, in_folder, tar_of, write, write_direct


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All datasets in CoOp's layout."""
    for name in PREPARED:
        write_direct(tmp_path / "data", name)
    return tmp_path / "data"


def diagnosis(root: Path, name: str) -> Diagnosis:
    return next(each for each in diagnose(root) if each.dataset == name)


def nested_cars(root: Path) -> None:
    (root / "stanford_cars/cars_train").rename(root / "stanford_cars/x")
    (root / "stanford_cars/cars_train").mkdir()
    (root / "stanford_cars/x").rename(root / "stanford_cars/cars_train/cars_train")


def packed_food(root: Path) -> None:
    folder = root / "food-101/images"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}
    write(root / "food-101", {"food-101.tar": tar_of(in_folder("food-101/images", files))})
    folder.rename(root / ".away")


PUT_RIGHT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "EuroSAT_RGB": (
        "EuroSAT",
        lambda root: (root / "eurosat/2750").rename(root / "eurosat/EuroSAT_RGB"),
        "6 images lie in {root}/eurosat/EuroSAT_RGB (Zenodo's archive, unpacked, as gallop has it), and not in {root}",
    ),
    "nested folders": (
        "StanfordCars",
        nested_cars,
        "(nested folders of a Kaggle mirror), and not in {root}/stanford_cars",
    ),
    "one more level": (
        "DescribableTextures",
        lambda root: ((root / "dtd/dtd").mkdir(), (root / "dtd/images").rename(root / "dtd/dtd/images")),
        "6 images lie in {root}/dtd/dtd/images (torchvision's folder), and not in {root}/dtd/images",
    ),
    "UCF101's own spelling": (
        "UCF101",
        lambda root: (root / "ucf101/UCF-101-midframes/Handstand_Pushups").rename(
            root / "ucf101/UCF-101-midframes/HandstandPushups"
        ),
        "3 images lie in class folders that are spelt differently in the split",
    ),
    "an archive": ("Food101", packed_food, "images are still in {root}/food-101/food-101.tar, and not in {root}"),
    "another's folder name": (
        "OxfordFlowers",
        lambda root: (root / "oxford_flowers").rename(root / "Flower102"),
        "6 images lie in {root}/Flower102/jpg (CLIP-LoRA's folder), and not in {root}/oxford_flowers/jpg",
    ),
    "Sketch's own name": (
        "ImageNetSketch",
        lambda root: (root / "imagenet-sketch/images").rename(root / "imagenet-sketch/sketch"),
        "6 images lie in {root}/imagenet-sketch/sketch (the original archive, unpacked)",
    ),
}


@pytest.mark.parametrize("trap", PUT_RIGHT)
def test_it_says_what_is_wrong_and_the_remedy_works(trap: str, root: Path) -> None:
    name, damage, words = PUT_RIGHT[trap]
    damage(root)
    found = diagnosis(root, name)
    assert not found.fine
    assert any(words.format(root=root) in cause for cause in found.causes), found
    assert found.remedy.startswith(f"run `dualpt data prepare {name} --from {root} --root {root}`")
    (plan,) = plan_datasets(look_around([root], [], root), root, [name])
    carry_out(plan, root, copy=False, progress=lambda done: None)
    assert diagnosis(root, name).fine


BEYOND_REPAIR: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "six digits": (
        "StanfordCars",
        lambda root: [
            path.rename(path.with_name(f"0{path.name}")) for path in list((root / "stanford_cars").rglob("*.jpg"))
        ],
        "numbers the cars by six digits",
    ),
    "made-up names": (
        "SUN397",
        lambda root: [
            path.rename(path.with_name(f"sun_000_0000{n}.jpg"))
            for n, path in enumerate(list((root / "sun397").rglob("*.jpg")))
        ],
        "holds made-up names (sun_000_00001.jpg)",
    ),
    "videos": (
        "UCF101",
        lambda root: [path.rename(path.with_suffix(".avi")) for path in list((root / "ucf101").rglob("*.jpg"))],
        "holds videos; the field uses the middle frame of each",
    ),
    "a link to nowhere": (
        "DescribableTextures",
        lambda root: ((root / "dtd/images").rename(root / ".away"), (root / "dtd/images").symlink_to("/nowhere")),
        "the link {root}/dtd/images leads to /nowhere, which is gone",
    ),
    "a missing frame": (
        "UCF101",
        lambda root: next((root / "ucf101").rglob("*.jpg")).unlink(),
        "1 listed images aren't there: ",
    ),
    "no README beside classes": (
        "ImageNetA",
        lambda root: write(root / "imagenet-adversarial/imagenet-a/n01440764", {"README.txt": b"?"}),
        "files in class folders that aren't images, but count as such: 1 (n01440764/README.txt); remove them",
    ),
    "flat validation images": (
        "ImageNet",
        lambda root: [
            path.rename(root / "imagenet/images/val" / path.name)
            for path in list((root / "imagenet/images/val").rglob("*.JPEG"))
        ],
        "",
    ),
}


@pytest.mark.parametrize("trap", BEYOND_REPAIR)
def test_what_only_the_user_can_put_right(trap: str, root: Path) -> None:
    name, damage, words = BEYOND_REPAIR[trap]
    damage(root)
    found = diagnosis(root, name)
    assert not found.fine
    assert any(words.format(root=root) in cause for cause in found.causes), found


def test_a_sound_root(root: Path) -> None:
    found = diagnose(root)
    assert [each.dataset for each in found] == list(PREPARED)
    assert all(each.fine for each in found)


def test_each_split_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[Path] = Counter()

    def counted(parts: Mapping[str, Sequence[Item]], source: Path, **more: Any) -> Split:
        read[source] += 1
        return make_split(parts, source, **more)

    for module in (split_file, class_folders, readers):
        monkeypatch.setattr(module, "make_split", counted)
    assert all(each.fine for each in diagnose(root))
    assert len(read) == len(PREPARED)
    assert set(read.values()) == {1}, read


def test_what_looks_odd_and_is_not_wrong(root: Path) -> None:
    write(root / "caltech-101/101_ObjectCategories", {"BACKGROUND_Google/image_0001.jpg": image("background")})
    write(root / "oxford_pets/images", {"Abyssinian_1.jpg": b"GIF89a"})
    assert any("BACKGROUND_Google and Faces_easy are left out" in note for note in diagnosis(root, "Caltech101").notes)
    notes = diagnosis(root, "OxfordPets").notes
    assert "files called .jpg that hold GIF, PNG or BMP: 1 (Abyssinian_1.jpg); they're read by content" in notes


def test_nothing_is_written(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    os.symlink("/nowhere", root / "dtd" / "gone")
    diagnose(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if not path.is_symlink()}.keys() == before.keys()
