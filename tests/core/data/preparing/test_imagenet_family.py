"""ImageNet and its variants as people have them: archives, flat validation images, sorted folders of other tools."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from dualpt.core.data.catalog import IMAGENET_VARIANTS, dataset_info
from dualpt.core.data.preparing.sources import glances
from dualpt.core.data.readers import read_split
from tests.core.data.preparing.miniatures import (
    ARCHIVES,
    VAL,
    WNIDS,
    development_kit,
    image,
    images_of,
    in_folder,
    lists_of,
    tar_of,
    val_name,
    write,
    write_direct,
    zip_of,
)
from tests.core.data.preparing.preparing import fingerprints, plan_of, prepare, snapshot

TRAIN = {path: content for path, content in images_of("ImageNet").items() if path.startswith("train/")}
FLAT = {f"val/{val_name(n)}": image(f"val {n}") for n in VAL}
NAMES = lists_of("ImageNet")


def kaggles_solution() -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["ImageId", "PredictionString"])
    rows.writerows([val_name(n).removesuffix(".JPEG"), f"{wnid} 1 2 3 4 {wnid} 5 6 7 8"] for n, wnid in VAL.items())
    return text.getvalue().encode()


SORTERS: dict[str, dict[str, bytes]] = {
    "the kit, unpacked": in_folder("ILSVRC2012_devkit_t12/data", development_kit()),
    "the kit": {"ILSVRC2012_devkit_t12.tar.gz": ARCHIVES["ImageNet"]("ImageNet")["ILSVRC2012_devkit_t12.tar.gz"]},
    "Kaggle's solution": {"LOC_val_solution.csv": kaggles_solution()},
    "a list of synsets": {
        "imagenet_2012_validation_synset_labels.txt": "".join(f"{VAL[n]}\n" for n in sorted(VAL)).encode()
    },
}


@pytest.mark.parametrize("sorter", SORTERS)
@pytest.mark.parametrize("copy", [False, True])
def test_flat_validation_images_are_sorted(sorter: str, copy: bool, tmp_path: Path) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write_direct(direct, "ImageNet")
    write(source, in_folder("ILSVRC/Data/CLS-LOC", TRAIN | FLAT) | SORTERS[sorter] | NAMES)
    before = snapshot(source)
    prepare("ImageNet", source, root, copy=copy)
    assert fingerprints("ImageNet", root) == fingerprints("ImageNet", direct)
    assert snapshot(source) == before
    assert plan_of("ImageNet", source, root).state == "there"


def kaggles_archive(*, solution: bool = True) -> dict[str, bytes]:
    """Annotations first, then test images, which nobody wants, as in the one archive that Kaggle gives."""
    boxes = {f"ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_{n:08d}.xml": b"<a/>" for n in VAL}
    tests = {f"ILSVRC/Data/CLS-LOC/test/ILSVRC2012_test_{n:08d}.JPEG": image(f"test {n}") for n in range(1, 4)}
    images = in_folder("ILSVRC/Data/CLS-LOC", dict(sorted((TRAIN | FLAT).items())))
    lists = {"LOC_synset_mapping.txt": b"n01440764 tench, Tinca tinca\n"}
    return boxes | tests | images | lists | ({"LOC_val_solution.csv": kaggles_solution()} if solution else {})


@pytest.mark.parametrize("name", ["imagenet-object-localization-challenge.zip", "imagenet.tar.gz"])
def test_kaggles_one_archive_of_everything(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write_direct(direct, "ImageNet")
    whole = kaggles_archive()
    content = zip_of(whole) if name.endswith(".zip") else tar_of(whole, "w:gz")
    write(source, {name: content} | NAMES)
    if name.endswith(".zip"):
        monkeypatch.setattr(glances, "FIRST_FILES", 2)  # the annotations alone are more
    else:  # which isn't read through for it
        write(source, SORTERS["Kaggle's solution"])
    plan = prepare("ImageNet", source, root)
    assert [(one.found_as, one.path) for one in plan.sources] == [("Kaggle's archive", str(source / name))]
    assert len(plan.archives) == 1, "read once"
    assert fingerprints("ImageNet", root) == fingerprints("ImageNet", direct)
    taken = [path.relative_to(root / "imagenet/images").parts for path in (root / "imagenet/images").rglob("*.JPEG")]
    assert {(parts[0], len(parts)) for parts in taken} == {("train", 3), ("val", 3)}
    assert plan_of("ImageNet", source, root).state == "there"


def test_kaggles_archive_without_its_solution_needs_one_beside_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write(source, {"imagenet-object-localization-challenge.zip": zip_of(kaggles_archive(solution=False))} | NAMES)
    plan = plan_of("ImageNet", source, tmp_path / "root")
    assert (plan.state, plan.remedy[:50]) == ("refused", "the validation images lie flat, and what sorts the")
    write(source, SORTERS["Kaggle's solution"])
    assert plan_of("ImageNet", source, tmp_path / "root").state == "ready"


def test_what_sorts_them_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "source", TRAIN | FLAT | NAMES)
    plan = plan_of("ImageNet", tmp_path / "source", tmp_path / "root")
    assert plan.state == "refused"
    assert (
        "the validation images lie flat, and what sorts them is missing: put ILSVRC2012_devkit_t12.tar" in plan.remedy
    )


@pytest.mark.parametrize(
    ("damaged", "fault"),
    [
        ({**development_kit(), "meta.mat": b"?"}, "ILSVRC2012_validation_ground_truth.txt: can't be read ("),
        ({"LOC_val_solution.csv": b"ImageId\nx\n"}, "LOC_val_solution.csv: can't be read"),
        ({"LOC_val_solution.csv": b""}, "doesn't say the classes of ImageNet's validation images"),
        ({"imagenet_2012_validation_synset_labels.txt": b"tench"}, "doesn't say the classes"),
        ({"imagenet_2012_validation_synset_labels.txt": b"n01440764"}, "doesn't list it; fetch the kit again"),
    ],
)
def test_what_sorts_them_is_damaged(damaged: dict[str, bytes], fault: str, tmp_path: Path) -> None:
    write(tmp_path / "source", TRAIN | FLAT | NAMES | damaged)
    plan = plan_of("ImageNet", tmp_path / "source", tmp_path / "root")
    assert plan.state == "refused"
    assert fault in plan.remedy
    assert "\n" not in plan.remedy


def test_a_tar_per_class(tmp_path: Path) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write_direct(direct, "ImageNet")
    write(source, ARCHIVES["ImageNet"]("ImageNet") | NAMES)
    (source / "ILSVRC2012_img_train.tar").unlink()
    for wnid in WNIDS:
        inside = {path.rpartition("/")[2]: content for path, content in TRAIN.items() if wnid in path}
        write(source, {f"train/{wnid}.tar": tar_of(inside)})
    prepare("ImageNet", source, root)
    assert fingerprints("ImageNet", root) == fingerprints("ImageNet", direct)


def test_validation_images_for_a_root_that_has_the_others(tmp_path: Path) -> None:
    root, direct = tmp_path / "root", tmp_path / "direct"
    write_direct(direct, "ImageNet")
    write(root / "imagenet/images", TRAIN)
    write(root / "imagenet", NAMES)
    write(tmp_path / "source", FLAT | SORTERS["Kaggle's solution"])
    prepare("ImageNet", tmp_path / "source", root)
    assert fingerprints("ImageNet", root) == fingerprints("ImageNet", direct)
    assert not (root / "imagenet/images/val").is_symlink()


def test_files_that_are_no_images_are_left_out(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    write(source, in_folder("imagenet", images_of("ImageNet")) | NAMES)
    write(source / "imagenet", {"train/n01440764/Thumbs.db": b"?", "train/README.txt": b"?", "train/extra/x.jpg": b"?"})
    prepare("ImageNet", source, root)
    assert fingerprints("ImageNet", root)[1] == images_of("ImageNet")


@pytest.mark.parametrize(
    ("files", "remedy"),
    [
        (TRAIN, "val images are missing; get ILSVRC2012_img_train.tar"),
        (images_of("ImageNet"), "the class names are missing: classnames.txt with lines"),
        (
            {path: content for path, content in images_of("ImageNet").items() if "val/n03773504" not in path},
            "class folders n03773504 are in one of train and val only",
        ),
    ],
)
def test_what_is_missing_is_said(files: dict[str, bytes], remedy: str, tmp_path: Path) -> None:
    write(tmp_path / "source", in_folder("imagenet", files) | (NAMES if "names" not in remedy else {}))
    plan = plan_of("ImageNet", tmp_path / "source", tmp_path / "root")
    assert plan.state == "refused"
    assert remedy in plan.remedy


def _below(folder: str) -> Callable[[str], dict[str, bytes]]:
    return lambda name: in_folder(folder, images_of(name))


VARIANTS: dict[str, list[Callable[[str], dict[str, bytes]]]] = {
    "ImageNetV2": [
        _below("imagenetv2-matched-frequency-format-val"),
        _below("imagenet-v2"),
        lambda name: {"imagenetv2-matched-frequency.tar.gz": tar_of(_below(dataset_info(name).image_folder)(name))},
    ],
    "ImageNetSketch": [_below("sketch"), lambda name: {"ImageNet-Sketch.zip": zip_of(_below("sketch")(name))}],
    "ImageNetA": [
        lambda name: _below("imagenet-a")(name) | {"imagenet-a/README.txt": b"?"},
        lambda name: {"imagenet-a.tar": tar_of(_below("imagenet-a")(name) | {"imagenet-a/README.txt": b"?"})},
    ],
    "ImageNetR": [
        lambda name: _below("imagenet-r")(name) | {"imagenet-r/README.txt": b"?"},
        lambda name: {"imagenet-r.tar": tar_of(_below("imagenet-r")(name) | {"imagenet-r/README.txt": b"?"})},
    ],
}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", IMAGENET_VARIANTS)
def test_variants(name: str, number: int, tmp_path: Path) -> None:
    source, root, direct = tmp_path / "source", tmp_path / "root", tmp_path / "direct"
    write_direct(direct, name)
    write(source, VARIANTS[name][number](name) | NAMES)
    prepare(name, source, root)
    assert fingerprints(name, root) == fingerprints(name, direct)


def test_other_samplings_of_v2_are_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "source", in_folder("imagenetv2-threshold0.7-format-val", images_of("ImageNetV2")) | NAMES)
    assert plan_of("ImageNetV2", tmp_path / "source", tmp_path / "root").state == "absent"


def test_variants_are_not_taken_for_imagenet(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in IMAGENET_VARIANTS:
        write(source, VARIANTS[name][0](name))
    write(source, NAMES)
    assert plan_of("ImageNet", source, tmp_path / "root").state == "absent"
    for name in IMAGENET_VARIANTS:
        prepare(name, source, tmp_path / "root")
        assert len(read_split(dataset_info(name), tmp_path / "root").test) == 2 * len(WNIDS)


def test_a_truncated_archive_leaves_nothing(tmp_path: Path) -> None:
    from dualpt.core.errors import UserError

    source, root = tmp_path / "source", tmp_path / "root"
    archives = ARCHIVES["ImageNet"]("ImageNet")
    whole = archives["ILSVRC2012_img_train.tar"]
    write(source, {**archives, "ILSVRC2012_img_train.tar": whole[: len(whole) - 10240]} | NAMES)
    plan = plan_of("ImageNet", source, root)
    if plan.will_be_done:
        with pytest.raises(UserError, match=r"ILSVRC2012_img_train\.tar"):
            prepare("ImageNet", source, root)
    assert not (root / "imagenet").exists()
