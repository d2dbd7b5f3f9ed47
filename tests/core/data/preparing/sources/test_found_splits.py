"""The field's split files are known by their content; another one is accepted, and it is said how it differs."""

import json
from pathlib import Path

import pytest

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.preparing.sources.found_splits import FIELD_SPLITS, Listing, find_listing, judge
from dualpt.core.data.preparing.sources.glances import glance
from dualpt.core.data.preparing.sources.survey import survey
from dualpt.core.data.readers import read_split
from dualpt.core.errors import UserError
from tests.core.data.preparing.miniatures import SPLIT_FILES, TORCHVISION, images_of, lists_of, tar_of, write, zip_of
from tests.core.data.preparing.preparing import plan_of

TEXTURES = dataset_info("DescribableTextures")


def found(root: Path, *folders: Path) -> Listing | None:
    surveys = [survey([folder], "--from") for folder in folders]
    return find_listing(TEXTURES, root, surveys, [glance(path) for each in surveys for path in each.archives])


def test_every_dataset_with_a_split_file_is_known() -> None:
    assert set(FIELD_SPLITS) == set(SPLIT_FILES)
    assert all(len(blob) == 40 and len(rows) in (0, 64) for blob, rows in FIELD_SPLITS.values())


@pytest.mark.parametrize("name", ["DescribableTextures", "EuroSAT", "OxfordPets"])
def test_the_fields_own(shared_data: Path, name: str) -> None:
    info = dataset_info(name)
    content = (shared_data / "splits" / info.split_file).read_bytes()
    assert judge(info, content, "here").remarks == ()
    assert judge(info, json.dumps(json.loads(content), indent=1).encode(), "here").remarks == ()


def test_how_another_one_differs(shared_data: Path) -> None:
    split = json.loads((shared_data / "splits" / TEXTURES.split_file).read_text())
    fewer = {**split, "test": split["test"][:-10]}
    assert judge(TEXTURES, json.dumps(fewer).encode(), "here").remarks == (
        "not the field's split: here has 1682 test images in place of 1692",
    )
    other = {**split, "train": split["train"][::-1]}
    (remark,) = judge(TEXTURES, json.dumps(other).encode(), "here").remarks
    assert remark.endswith("other images in the parts, other names or another order")


def test_the_fields_comes_before_others(shared_data: Path, tmp_path: Path) -> None:
    real = shared_data / "splits"
    write(tmp_path / "near", lists_of(TEXTURES.name))
    listing = found(tmp_path / "root", tmp_path / "near", real)
    assert listing is not None
    assert listing.remarks == ()
    nearest = found(tmp_path / "root", tmp_path / "near")
    assert nearest is not None
    assert len(nearest.paths) == 6


def test_the_data_roots_own_stays(shared_data: Path, tmp_path: Path) -> None:
    write(tmp_path / "dtd", lists_of(TEXTURES.name))
    listing = found(tmp_path, shared_data / "splits")
    assert listing is not None
    assert len(listing.paths) == 6
    assert listing.remarks[0].startswith(
        f"not the field's split: {tmp_path}/dtd/split_zhou_DescribableTextures.json has"
    )


def test_in_an_archive_beside_the_images(tmp_path: Path) -> None:
    write(tmp_path, {"dtd.tar": tar_of(lists_of(TEXTURES.name) | images_of(TEXTURES.name))})
    listing = found(tmp_path / "root", tmp_path)
    assert listing is not None
    assert listing.texts == lists_of(TEXTURES.name)


@pytest.mark.parametrize(
    ("content", "fault"),
    [(b"\xff\xfe\x00", "not a text file"), (b"[]", "expected an object"), (b"version https://git-lfs", "JSON")],
)
def test_one_that_cannot_be_read_is_a_fault_only_alone(tmp_path: Path, content: bytes, fault: str) -> None:
    write(tmp_path / "a", {TEXTURES.split_file: content})
    with pytest.raises(UserError, match=fault):
        found(tmp_path / "root", tmp_path / "a")
    write(tmp_path / "b", lists_of(TEXTURES.name))
    assert found(tmp_path / "root", tmp_path / "a", tmp_path / "b") is not None


@pytest.mark.parametrize("as_archive", [False, True])
def test_the_list_or_an_archive_of_a_clone_is_named(as_archive: bool, tmp_path: Path) -> None:
    (name, content), *_ = lists_of("EuroSAT").items()
    write(tmp_path, {name: content, "gallop-main.zip": zip_of({f"gallop-main/gallop/datasets/files/{name}": content})})
    write(tmp_path / "have", TORCHVISION["EuroSAT"]("EuroSAT"))
    splits = tmp_path / ("gallop-main.zip" if as_archive else name)
    assert plan_of("EuroSAT", tmp_path / "have", tmp_path / "root", splits).state == "ready"


def test_aircrafts_lists_lie_in_one_folder(tmp_path: Path) -> None:
    info = dataset_info("FGVCAircraft")
    lists = lists_of(info.name)
    write(tmp_path / "some", {"variants.txt": lists["variants.txt"]})
    assert find_listing(info, tmp_path / "root", [survey([tmp_path], "--from")], []) is None
    write(tmp_path / "all", lists)
    listing = find_listing(info, tmp_path / "root", [survey([tmp_path], "--from")], [])
    assert listing is not None
    write(tmp_path / "direct" / info.folder, lists | {"images/x": b""})
    assert listing.split == read_split(info, tmp_path / "direct")
