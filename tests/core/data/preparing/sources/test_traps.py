"""Copies that look right and can't be used are refused with the reason, and never taken by made-up names."""

from pathlib import Path

import pytest

from dualpt.core.data.preparing.planner import PREPARED, look_around, plan_datasets
from dualpt.core.data.preparing.sources.survey import survey
from dualpt.core.data.preparing.sources.traps import find_traps
from tests.core.data.preparing.miniatures import (
    ARCHIVES,
    OTHER_REPOSITORIES,
    SPLIT_FILES,
    TORCHVISION,
    images_of,
    in_folder,
    lists_of,
    tar_of,
    write,
)
from tests.core.data.preparing.preparing import fingerprints, plan_of, prepare

UNUSABLE = {
    "StanfordCars": {
        "car_ims/000001.jpg": "numbers the cars by six digits",
        "datasets--tanganke--stanford_cars/snapshots/1a/data/train-0.parquet": "lost the published file names",
    },
    "SUN397": {
        "SUN397/a/abbey/sun_000_00001.jpg": "holds made-up names",
        "datasets--1aurent--SUN397/snapshots/1a/data/train-0.parquet": "lost the published file names",
    },
    "UCF101": {
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi": "holds videos",
        "UCF101.rar": "holds UCF101.rar, the videos",
    },
    "EuroSAT": {"EuroSATallBands/AnnualCrop/AnnualCrop_1.tif": "holds 13 bands"},
    "OxfordPets": {"datasets--x--oxford-iiit-pet/data/train.parquet": "lost the published file names"},
    "ImageNet": {"imagenet-1k/train/n01440764_10026_n01440764.JPEG": "the hub renamed"},
}


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in UNUSABLE.items() for path in paths])
def test_it_is_refused_with_the_reason(name: str, path: str, tmp_path: Path) -> None:
    write(tmp_path / "source", {path: b"?"} | lists_of(name))
    plan = plan_of(name, tmp_path / "source", tmp_path / "root")
    assert plan.state == "refused"
    assert any(UNUSABLE[name][path] in line for line in plan.traps), plan
    assert plan.remedy.startswith("get ")


@pytest.mark.parametrize(
    ("name", "archive", "path", "said"),
    [
        ("StanfordCars", "car_ims.tgz", "car_ims/000001.jpg", "six digits"),
        ("UCF101", "UCF101.tar", "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "holds videos"),
        ("EuroSAT", "EuroSATallBands.tar", "ds/tif/Forest/Forest_1.tif", "13 bands"),
    ],
)
def test_it_is_told_before_it_is_unpacked(name: str, archive: str, path: str, said: str, tmp_path: Path) -> None:
    write(tmp_path / "source", {archive: tar_of({path: b"?"})} | lists_of(name))
    plan = plan_of(name, tmp_path / "source", tmp_path / "root")
    assert plan.state == "refused"
    assert said in plan.traps[0]
    assert plan.traps[0].startswith(f"{tmp_path}/source/{archive}/")


@pytest.mark.parametrize("suffix", [".rar", ".7z", ".tar.zst"])
def test_archives_that_only_other_programs_read_are_named(suffix: str, tmp_path: Path) -> None:
    starts = {".rar": b"Rar!\x1a\x07", ".7z": b"7z\xbc\xaf\x27\x1c", ".tar.zst": b"\x28\xb5\x2f\xfd"}
    write(tmp_path / "source", {f"SUN397{suffix}": starts[suffix]} | lists_of("SUN397"))
    plan = plan_of("SUN397", tmp_path / "source", tmp_path / "root")
    assert plan.state == "refused"
    assert plan.remedy.endswith("unpack it and give the folder")


@pytest.mark.parametrize("layout", [TORCHVISION, OTHER_REPOSITORIES])
def test_good_copies_are_no_traps(layout: dict[str, object], tmp_path: Path) -> None:
    for name in layout:
        write(tmp_path, layout[name](name))  # type: ignore[operator]
    assert find_traps(survey([tmp_path], "--from")) == {}


MENDABLE = {
    "nested folders of Kaggle": (
        "StanfordCars",
        {"cars_train/": "c/cars_train/cars_train/", "cars_test/": "c/cars_test/cars_test/"},
    ),
    "SUN397 twice": ("SUN397", {"": "SUN397/SUN397/"}),
    "SUN397 without its class folders": ("SUN397", {"a/abbey/": "flat/", "a/apse/indoor/": "flat/"}),
    "Zenodo's folder": ("EuroSAT", {"": "EuroSAT_RGB/"}),
    "a hub mirror's snapshot": ("DescribableTextures", {"": "datasets--x--dtd/snapshots/1a2b/images/"}),
    "flowers sorted by number": ("OxfordFlowers", {"image_0": "flower_data/train/1/image_0"}),
    "UCF101's own class folders": (
        "UCF101",
        {"Handstand_Pushups/": "f/HandstandPushups/", "Apply_Eye_Makeup/": "f/ApplyEyeMakeup/"},
    ),
    "aircraft in class folders": ("FGVCAircraft", {"00": "a/707-320/00", "12": "a/F-A-18/12"}),
    "torchvision's textures": ("DescribableTextures", {"": "dtd/dtd/images/"}),
}
"""Layout -> dataset, and how the beginnings of its paths change."""


@pytest.mark.parametrize("layout", MENDABLE)
def test_folders_that_only_lie_otherwise_are_taken(layout: str, tmp_path: Path) -> None:
    name, moves = MENDABLE[layout]
    moved = {}
    for path, content in images_of(name).items():
        start = next(start for start in moves if path.startswith(start))
        moved[moves[start] + path.removeprefix(start)] = content
    write(tmp_path / "source", moved | {"Annotations (1).mat": b"?"})
    write(tmp_path / "lists", lists_of(name))
    prepare(name, tmp_path / "source", tmp_path / "root", tmp_path / "lists")
    assert fingerprints(name, tmp_path / "root")[1] == images_of(name)


def test_missing_lists_of_aircraft_are_named(tmp_path: Path) -> None:
    write(tmp_path / "source", in_folder("a/data/images", images_of("FGVCAircraft")))
    assert "variants.txt and images_variant" in plan_of("FGVCAircraft", tmp_path / "source", tmp_path / "root").remedy


def test_foods_archive_is_not_read_for_aircraft(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    write(source, ARCHIVES["Food101"]("Food101") | lists_of("FGVCAircraft") | lists_of("Food101"))
    plans = {plan.info.name: plan for plan in plan_datasets(look_around([source], [], root), root)}
    assert plans["Food101"].state == "ready"
    assert (plans["FGVCAircraft"].state, plans["FGVCAircraft"].archives) == ("absent", ())


def test_an_archive_that_only_its_name_announces(tmp_path: Path) -> None:
    write(tmp_path / "source", {"images.tar.gz": tar_of({"cub/001.jpg": b"?"})} | lists_of("OxfordPets"))
    plan = plan_of("OxfordPets", tmp_path / "source", tmp_path / "root")
    assert plan.state == "absent"
    assert plan.traps[0].startswith(f"{tmp_path}/source/images.tar.gz: is called like an archive of it")


def test_one_folder_with_everything(tmp_path: Path) -> None:
    """Names of one dataset aren't taken for another's: all of them side by side."""
    for name in OTHER_REPOSITORIES:
        write(tmp_path / "source", OTHER_REPOSITORIES[name](name))
    write(tmp_path / "source", lists_of("ImageNet"))
    plans = plan_datasets(look_around([tmp_path / "source"], [], tmp_path / "root"), tmp_path / "root", PREPARED)
    assert {plan.info.name for plan in plans if plan.state == "ready"} == {*SPLIT_FILES, "FGVCAircraft", "ImageNet"}
    assert all(len(plan.files) == 6 for plan in plans if plan.info.name in SPLIT_FILES)
