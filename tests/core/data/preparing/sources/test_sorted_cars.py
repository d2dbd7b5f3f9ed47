"""Cars in class folders are taken where the folders agree with the numbers, and never where they were counted anew."""

from pathlib import Path

from tests.core.data.preparing.miniatures import images_of, lists_of, write, zip_of
from tests.core.data.preparing.preparing import fingerprints, plan_of, prepare

FOLDERS = {
    "train/Ram C-V Cargo Van Minivan 2012": ("00001.jpg", "00002.jpg"),
    "train/Acura RL Sedan 2012": ("00003.jpg", "00004.jpg"),
    "test/Ram C-V Cargo Van Minivan 2012": ("00001.jpg",),
    "test/Acura RL Sedan 2012": ("00002.jpg",),
}
"""As Kaggle's `stanford-car-dataset-by-classes-folder` has them."""


def write_sorted(source: Path) -> None:
    images = images_of("StanfordCars")
    for folder, names in FOLDERS.items():
        part = folder.partition("/")[0]
        found = {f"car_data/car_data/{folder}/{name}": images[f"cars_{part}/{name}"] for name in names}
        write(source, found | {"anno_train.csv": b"?"})
    write(source, lists_of("StanfordCars"))


def test_class_folders_that_agree_with_the_numbers_are_taken(tmp_path: Path) -> None:
    write_sorted(tmp_path / "source")
    plan = prepare("StanfordCars", tmp_path / "source", tmp_path / "root")
    assert plan.sources[0].found_as == "class folders of a Kaggle mirror"
    assert fingerprints("StanfordCars", tmp_path / "root")[1] == images_of("StanfordCars")


def test_they_are_taken_out_of_an_archive(tmp_path: Path) -> None:
    write_sorted(tmp_path / "unpacked")
    folder = tmp_path / "unpacked/car_data"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}
    write(tmp_path / "source", {"archive.zip": zip_of(files)} | lists_of("StanfordCars"))
    prepare("StanfordCars", tmp_path / "source", tmp_path / "root")
    assert fingerprints("StanfordCars", tmp_path / "root")[1] == images_of("StanfordCars")


def test_one_image_in_another_class_condemns_the_copy(tmp_path: Path) -> None:
    write_sorted(tmp_path / "source")
    train = tmp_path / "source/car_data/car_data/train"
    (train / "Acura RL Sedan 2012/00003.jpg").rename(train / "Ram C-V Cargo Van Minivan 2012/00003.jpg")
    assert plan_of("StanfordCars", tmp_path / "source", tmp_path / "root").state == "absent"
