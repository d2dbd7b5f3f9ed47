"""`examine` finds each kind of damage in each layout, and nothing where there is none."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpt.core.data.catalog import IMAGENET_VARIANTS, REAL_GRID, dataset_info
from dualpt.core.data.checking.examination import examine

ALL = (*REAL_GRID, *IMAGENET_VARIANTS)


@pytest.mark.parametrize("name", ALL)
def test_each_layout_undamaged(miniature: Path, name: str) -> None:
    report = examine(dataset_info(name), miniature, deep=True)
    assert report.found
    assert report.fault is None
    assert report.fine
    assert not report.as_published  # a few classes are not the published dataset, and that is said
    assert report.decoded
    assert (report.missing, report.unreadable, report.leaked, report.repeated, report.stray) == ((), (), (), (), ())
    tests_only = name in IMAGENET_VARIANTS
    assert report.n_images is not None
    assert (report.n_images[0] == 0) == tests_only
    assert report.namesakes == (("missile",) if name in ("ImageNet", "ImageNetV2", "ImageNetSketch") else ())


@pytest.mark.parametrize("name", ALL)
def test_a_damaged_image_in_each_layout(miniature_copy: Path, name: str) -> None:
    info = dataset_info(name)
    image = sorted(
        path for path in info.image_root(miniature_copy).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")
    )[-1]
    image.write_bytes(image.read_bytes()[:200])
    assert examine(info, miniature_copy).fine  # listings alone do not show it
    told: list[tuple[int, int]] = []
    report = examine(info, miniature_copy, deep=True, progress=lambda done, total: told.append((done, total)))
    assert not report.fine
    assert len(report.unreadable) == 1
    assert str(image) in report.unreadable[0]
    assert report.n_images is not None
    assert told[-1] == (sum(report.n_images), sum(report.n_images))


@pytest.mark.parametrize("name", [name for name in ALL if dataset_info(name).layout in ("split file", "aircraft")])
def test_a_missing_image_where_a_file_lists_them(miniature_copy: Path, name: str) -> None:
    info = dataset_info(name)
    image = sorted(info.image_root(miniature_copy).rglob("*.jpg"))[0]
    image.unlink()
    report = examine(info, miniature_copy, deep=True)
    assert report.missing == (image.relative_to(info.image_root(miniature_copy)).as_posix(),)
    assert report.unreadable == ()  # said once
    assert not report.fine


def edit_split(root: Path, change: Callable[[dict[str, list[list[object]]]], object]) -> None:
    path = root / "eurosat" / "split_zhou_EuroSAT.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def no_folder(root: Path) -> None:
    (root / "eurosat").rename(root / "euro_sat")


def no_split_file(root: Path) -> None:
    (root / "eurosat" / "split_zhou_EuroSAT.json").unlink()


def no_images(root: Path) -> None:
    (root / "eurosat" / "2750").rename(root / "eurosat" / "images")


def half_a_split_file(root: Path) -> None:
    path = root / "eurosat" / "split_zhou_EuroSAT.json"
    path.write_text(path.read_text()[:100])


def a_test_image_in_train(root: Path) -> None:
    edit_split(root, lambda content: content["train"].append(content["test"][0]))


@pytest.mark.parametrize(
    ("damage", "field", "value"),
    [
        (no_folder, "found", "False"),
        (no_split_file, "fault", "split_zhou_EuroSAT.json: the split file of EuroSAT is missing"),
        (no_images, "fault", "the images of EuroSAT are missing"),
        (half_a_split_file, "fault", "not JSON"),
        (a_test_image_in_train, "leaked", "('Annual Crop Land/0_0006.jpg',)"),
    ],
)
def test_each_kind_of_damage(miniature_copy: Path, damage: Callable[[Path], None], field: str, value: str) -> None:
    damage(miniature_copy)
    report = examine(dataset_info("EuroSAT"), miniature_copy)
    assert value in str(getattr(report, field))
    assert not report.fine


@pytest.mark.parametrize("own", [True, False])
def test_spoilt_images_and_copies(miniature_copy: Path, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    """Faults of own datasets; of published ones they are only noted."""
    monkeypatch.setenv("DUALPT_CACHE", str(miniature_copy / "cache"))
    images = miniature_copy / "eurosat" / "2750"
    split = json.loads((miniature_copy / "eurosat" / "split_zhou_EuroSAT.json").read_text())
    (trained, _, name), (tested, _, _) = split["train"][0], split["test"][0]
    other = next(path for path, _, other_name in split["train"] if other_name != name)
    shutil.copy(images / trained, images / tested)
    Image.fromarray(np.arange(8000, 12_000, dtype=np.uint16).reshape(50, 80)).save(images / other, "PNG")
    (miniature_copy / "datasets.yaml").write_text(
        "land: {folder: eurosat, images: '2750', split: split_zhou_EuroSAT.json}"
    )
    info = dataset_info("land" if own else "EuroSAT", miniature_copy)
    report = examine(info, miniature_copy, deep=True)
    assert report.duplicates.leaked == ((trained, tested),)
    assert report.spoilt == (other,)
    assert report.fine == (not own)
    assert examine(info, miniature_copy).fine  # without --deep no image is opened


def test_what_is_only_noted(miniature_copy: Path) -> None:
    def change(content: dict[str, list[list[object]]]) -> None:
        content["train"].append(content["train"][0])
        for part in content.values():
            for entry in part:
                entry[2] = "land"

    edit_split(miniature_copy, change)
    images = miniature_copy / "eurosat" / "2750"
    Image.new("RGB", (4, 4)).save(images / "Forest" / "extra.png")
    (images / "Forest" / "notes.txt").touch()
    (images / ".thumbnails").mkdir()
    Image.new("RGB", (4, 4)).save(images / ".thumbnails" / "hidden.png")
    report = examine(dataset_info("EuroSAT"), miniature_copy)
    assert report.repeated == ("Annual Crop Land/0_0000.jpg",)
    assert report.namesakes == ("land",)
    assert report.stray == ("Forest/extra.png",)
    assert report.fine


def test_the_published_counts_are_those_of_real_split_files(shared_data: Path, tmp_path: Path) -> None:
    for name in ("DescribableTextures", "EuroSAT", "OxfordPets"):
        info = dataset_info(name)
        info.image_root(tmp_path).mkdir(parents=True)
        text = (shared_data / "splits" / info.split_file).read_text()
        (tmp_path / info.folder / info.split_file).write_text(text)
        report = examine(info, tmp_path)
        assert report.as_published
        assert report.n_images == info.n_images
        assert len(report.missing) == sum(info.n_images or ())


@pytest.mark.parametrize("name", REAL_GRID)
def test_the_published_classes_are_those_of_the_lists_of_names(shared_data: Path, name: str) -> None:
    file = "imagenet_wnid_names.txt" if name == "ImageNet" else f"{name}.txt"
    lines = (shared_data / "classnames" / file).read_text().splitlines()
    assert dataset_info(name).n_classes == len(lines)
