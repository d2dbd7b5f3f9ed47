"""Rows on disk: appended, mapped, damaged, and forgotten only where they must be."""

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualpt.core.errors import UserError
from dualpt.core.features import shelf as feature_shelf
from dualpt.core.features.rows import Column, ImageKey
from dualpt.core.features.shelf import FeatureShelf, open_shelves

COLUMNS = (Column("global.f32", "float32", (4,)), Column("local.f16", "float16", (3, 4)))


def keys(first: int, last: int) -> list[ImageKey]:
    return [ImageKey(f"image_{i}.png", f"{i:032x}") for i in range(first, last)]


def rows(first: int, last: int) -> tuple[Tensor, Tensor]:
    numbers = torch.arange(first, last, dtype=torch.float32)
    return numbers[:, None].expand(-1, 4), numbers[:, None, None].expand(-1, 3, 4) / 2


def append(shelf: FeatureShelf, first: int, last: int) -> None:
    with shelf.lock():
        shelf.forget_incomplete()
        shelf.describe()
        shelf.append(keys(first, last), rows(first, last))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


@pytest.fixture
def shelf(folder: Path) -> FeatureShelf:
    """Ten rows in three batches."""
    shelf = FeatureShelf(folder, COLUMNS, {"backbone": "tiny"})
    for first, last in ((0, 4), (4, 8), (8, 10)):
        append(shelf, first, last)
    return shelf


def reopened(folder: Path) -> FeatureShelf:
    return FeatureShelf(folder, COLUMNS, {})


def numbers(shelf: FeatureShelf, images: list[ImageKey]) -> list[int]:
    """Which rows were read, after checking that the columns agree."""
    assert shelf.missing(images) == []
    global_features, stored = shelf.read(images)
    local_features = stored[:]
    assert local_features.dtype == torch.float16
    assert torch.equal(global_features[:, :, None].expand(-1, -1, 3).transpose(1, 2), local_features.float() * 2)
    return [int(row[0]) for row in global_features]


def test_rows_come_in_the_order_asked(shelf: FeatureShelf, folder: Path) -> None:
    for one in (shelf, reopened(folder)):
        assert numbers(one, keys(0, 10)) == list(range(10))
        assert numbers(one, [*keys(8, 10), *keys(1, 3), *keys(8, 9)]) == [8, 9, 1, 2, 8]
        assert numbers(one, []) == []


def test_consecutive_rows_are_mapped_across_batches(shelf: FeatureShelf) -> None:
    mapped, _ = shelf.read(keys(2, 9))
    again, _ = shelf.read(keys(2, 9))
    assert mapped._base is not None  # a slice of the whole file
    mapped.add_(1)  # copy-on-write: neither the file nor other readers see it
    assert not torch.equal(mapped, again)
    assert numbers(shelf, keys(2, 9)) == list(range(2, 9))


def test_missing_images_are_named_once(shelf: FeatureShelf) -> None:
    assert shelf.missing([*keys(9, 12), *keys(11, 13)]) == keys(10, 13)
    changed = ImageKey("image_0.png", "f" * 32)  # same file, other content
    assert shelf.missing([changed]) == [changed]


def test_rows_of_other_processes_are_seen(shelf: FeatureShelf, folder: Path) -> None:
    other = reopened(folder)
    assert other.missing(keys(10, 12)) == keys(10, 12)
    append(shelf, 10, 12)
    assert numbers(other, keys(10, 12)) == [10, 11]


def test_a_batch_without_record_does_not_count(shelf: FeatureShelf, folder: Path) -> None:
    with (folder / "global.f32").open("ab") as file:
        file.write(b"half a batch")
    assert numbers(reopened(folder), keys(0, 10)) == list(range(10))
    append(shelf, 10, 12)
    assert numbers(reopened(folder), keys(0, 12)) == list(range(12))


@pytest.mark.parametrize("column", ["global.f32", "local.f16"])
def test_a_cut_off_file_loses_the_batches_it_lacks(shelf: FeatureShelf, folder: Path, column: str) -> None:
    path = folder / column
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])  # six of ten rows
    for one in (shelf, reopened(folder)):
        assert one.missing(keys(0, 10)) == keys(4, 10)
    append(shelf, 4, 7)
    append(shelf, 7, 12)  # fills the place of the lost batches, which must not come back
    assert numbers(shelf, keys(0, 12)) == list(range(12))
    assert numbers(reopened(folder), keys(0, 12)) == list(range(12))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"start": 4, "stop": 8}'])
def test_a_damaged_record_loses_its_batch(shelf: FeatureShelf, folder: Path, content: str) -> None:
    (folder / "rows-000000004.json").write_text(content)
    assert reopened(folder).missing(keys(0, 10)) == keys(4, 8)
    append(shelf, 4, 8)
    assert numbers(reopened(folder), keys(0, 10)) == list(range(10))


def test_flipped_bytes_are_found_and_forgotten(shelf: FeatureShelf, folder: Path) -> None:
    assert shelf.forget_damaged() == []
    with (folder / "local.f16").open("r+b") as file:
        file.seek(5 * COLUMNS[1].row_bytes + 3)
        file.write(b"\x55")
    assert numbers_missing(shelf) == []  # sizes alone do not show it
    assert shelf.forget_damaged() == ["rows-000000004.json"]
    assert numbers_missing(shelf) == keys(4, 8)
    append(shelf, 4, 8)
    assert numbers(reopened(folder), keys(0, 10)) == list(range(10))


def numbers_missing(shelf: FeatureShelf) -> list[ImageKey]:
    return shelf.missing(keys(0, 10))


def test_a_deleted_folder_is_noticed(shelf: FeatureShelf, folder: Path) -> None:
    shutil.rmtree(folder)
    assert shelf.missing(keys(0, 2)) == keys(0, 2)
    append(shelf, 0, 2)
    assert numbers(shelf, keys(0, 2)) == [0, 1]


def test_shelves_can_be_opened_without_their_backbone(shelf: FeatureShelf, folder: Path) -> None:
    (found,), unreadable = open_shelves(folder.parent)
    assert unreadable == []
    assert found.columns == COLUMNS
    assert found.about == {"backbone": "tiny"}
    assert numbers(found, keys(0, 10)) == list(range(10))


def test_rows_of_another_shape_are_a_bug(shelf: FeatureShelf) -> None:
    with pytest.raises(ValueError, match="has rows of shape"):
        shelf.append(keys(10, 11), (torch.ones(1, 5), torch.ones(1, 3, 4)))


def test_too_little_room_is_said_before_work_begins(shelf: FeatureShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(feature_shelf.shutil, "disk_usage", lambda _: usage(1000, 100, 900))
    shelf.check_space(22)  # of 40 bytes each
    with pytest.raises(UserError, match=r"features of 1000 images need .* GB, .* free; make room, or set DUALPT_CACHE"):
        shelf.check_space(1000)


def test_a_full_disk_is_one_line_and_commits_nothing(shelf: FeatureShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FeatureShelf, "_write", full)
    with pytest.raises(UserError, match=r"the disk is full; make room, or set DUALPT_CACHE"):
        append(shelf, 10, 12)
    assert shelf.missing(keys(9, 12)) == keys(10, 12)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
        reopened(tmp_path / "file" / "shelf").lock().acquire()
