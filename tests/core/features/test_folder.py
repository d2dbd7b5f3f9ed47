"""Files of rows: added, mapped, damaged, and set aside only where they must be."""

import errno
import json
import logging
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from filelock import Timeout
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dualpt.core.arrays import StoredRows
from dualpt.core.errors import StorageError
from dualpt.core.features import folder as feature_folder
from dualpt.core.features.folder import FeatureFolder, check_room, open_folders
from dualpt.core.features.segment import Column, ImageKey, write_segment
from tests.core.features.former_layout import write_former

COLUMNS = (Column("global.f32", "float32", (4,)), Column("local.f16", "float16", (3, 4)))
ABOUT = {"backbone": "tiny", "view": "plain"}


def keys(first: int, last: int) -> list[ImageKey]:
    return [ImageKey(f"image_{i}.png", f"{i:032x}") for i in range(first, last)]


def rows(first: int, last: int) -> tuple[Tensor, Tensor]:
    numbers = torch.arange(first, last, dtype=torch.float32)
    return numbers[:, None].expand(-1, 4), numbers[:, None, None].expand(-1, 3, 4) / 2


def add(folder: FeatureFolder, first: int, last: int) -> Path:
    """The file that holds them."""
    with folder.locked():
        folder.delete_damaged()
        before = set(folder.path.glob("*.safetensors"))
        folder.describe()
        folder.add(keys(first, last), rows(first, last))
    (path,) = set(folder.path.glob("*.safetensors")) - before
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features"


@pytest.fixture
def folder(path: Path) -> FeatureFolder:
    """Ten rows in three files."""
    folder = FeatureFolder(path, COLUMNS, ABOUT)
    for first, last in ((0, 4), (4, 8), (8, 10)):
        add(folder, first, last)
    return folder


@pytest.fixture
def former(path: Path) -> FeatureFolder:
    """The same in the former layout."""
    write_former(path, COLUMNS, ABOUT, keys(0, 10), rows(0, 10), batch=4)
    return reopened(path)


@pytest.fixture(params=["folder", "former"])
def either(request: pytest.FixtureRequest) -> FeatureFolder:
    folder: FeatureFolder = request.getfixturevalue(request.param)
    return folder


def reopened(path: Path) -> FeatureFolder:
    return FeatureFolder(path, COLUMNS, ABOUT)


def file_of(path: Path, image: int) -> Path:
    """The segment that holds an image."""
    for segment in path.glob("*.safetensors"):
        with safe_open(segment, "pt") as file:
            if f"image_{image}.png" in (file.metadata() or {})["images"]:
                return segment
    raise AssertionError(image)


def state(path: Path) -> tuple[int, int, int]:
    """What a write changes. The time of the last access isn't among it: reading changes that."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def flip(path: Path, byte: int, *, keep_time: bool = False) -> None:
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[byte] ^= 0xFF
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def numbers(folder: FeatureFolder, images: list[ImageKey]) -> list[int]:
    """Which rows were read, after checking that the columns agree."""
    assert folder.missing(images) == []
    global_features, stored = folder.read(images)
    assert stored is not None
    local_features = stored[:]
    assert local_features.dtype == torch.float16
    assert torch.equal(global_features[:, :, None].expand(-1, -1, 3).transpose(1, 2), local_features.float() * 2)
    return [int(row[0]) for row in global_features]


@pytest.mark.parametrize("in_memory", [0, 2**20])
def test_rows_come_in_the_order_asked(
    either: FeatureFolder, path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(feature_folder, "IN_MEMORY_BYTES", in_memory)
    for one in (either, reopened(path)):
        assert numbers(one, keys(0, 10)) == list(range(10))
        assert numbers(one, [*keys(8, 10), *keys(1, 3), *keys(8, 9)]) == [8, 9, 1, 2, 8]
        assert numbers(one, []) == []


def test_consecutive_rows_of_a_file_are_mapped(either: FeatureFolder, path: Path) -> None:
    either.missing([])
    mapped, local = either.read(keys(5, 7))
    again, _ = either.read(keys(5, 7))
    assert isinstance(local, Tensor)
    mapped.add_(1)  # copy-on-write: neither the file nor other processes see it
    assert numbers(reopened(path), keys(5, 7)) == [5, 6]
    assert mapped.data_ptr() == again.data_ptr()  # a view, not a copy


def test_large_local_features_of_several_files_stay_on_disk(
    folder: FeatureFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_folder, "IN_MEMORY_BYTES", 0)
    _, local = folder.read(keys(2, 9))
    assert isinstance(local, StoredRows)
    picked = local[torch.tensor([[6, 0], [3, 3]])]
    assert picked.shape == (2, 2, 3, 4)
    assert (picked[..., 0, 0] * 2).tolist() == [[8, 2], [5, 5]]
    assert (local[1:6:2][:, 0, 0] * 2).tolist() == [3, 5, 7]


def test_missing_images_are_named_once(either: FeatureFolder) -> None:
    assert either.missing([*keys(9, 12), *keys(11, 13)]) == keys(10, 13)
    changed = ImageKey("image_0.png", "f" * 32)  # same file, other content
    assert either.missing([changed]) == [changed]


def test_files_of_other_processes_are_seen(either: FeatureFolder, path: Path) -> None:
    other = reopened(path)
    assert other.missing(keys(8, 12)) == keys(10, 12)
    add(either, 10, 12)
    assert numbers(other, keys(8, 12)) == [8, 9, 10, 11]


def test_a_reader_keeps_what_it_mapped(folder: FeatureFolder, path: Path) -> None:
    _, local = folder.read(keys(0, 4))
    shutil.rmtree(path)
    assert local is not None
    assert (local[:][:, 0, 0] * 2).tolist() == [0, 1, 2, 3]


def test_nothing_written_is_changed(either: FeatureFolder, path: Path) -> None:
    before = {file: (state(file), file.read_bytes()) for file in path.iterdir()}
    add(either, 10, 12)
    add(reopened(path), 12, 13)
    reopened(path).read([])
    assert {file: (state(file), file.read_bytes()) for file in before} == before


def test_a_half_written_file_does_not_count(folder: FeatureFolder, path: Path) -> None:
    (path / ".tmp-0123456789abcdef").write_bytes(file_of(path, 0).read_bytes()[:100])
    assert numbers(reopened(path), keys(0, 10)) == list(range(10))


class TestDamage:
    """A file that isn't what was written is set aside with one line, and its images count as missing."""

    @pytest.fixture(autouse=True)
    def _lines(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog

    def is_set_aside(self, path: Path, *, why: str) -> None:
        """Images 4 to 7 are missing, for this reason; added again, everything is there."""
        self.caplog.clear()
        folder = reopened(path)
        assert folder.missing(keys(0, 10)) == keys(4, 8)
        (line,) = [record.getMessage() for record in self.caplog.records if record.levelno == logging.WARNING]
        assert "its images are to be encoded again" in line
        assert why in line
        assert "\n" not in line
        add(folder, 4, 8)
        assert numbers(reopened(path), keys(0, 10)) == list(range(10))
        assert reopened(path).verify() == {}

    @pytest.mark.parametrize("left", [0, 4, 50, 700, -1])
    def test_a_file_is_cut_off(self, folder: FeatureFolder, path: Path, left: int) -> None:
        file = file_of(path, 5)
        file.write_bytes(file.read_bytes()[:left])
        self.is_set_aside(path, why="not a file of features")

    def test_a_flipped_bit_of_a_row(self, folder: FeatureFolder, path: Path) -> None:
        flip(file_of(path, 5), -1)
        assert folder.missing(keys(0, 10)) == keys(4, 8)  # by a reader that has it open, too
        self.is_set_aside(path, why="features do not match their checksum")

    @pytest.mark.parametrize("change", ["permuted", "cut", "other digest", "other rows", "another folder's", "shape"])
    def test_a_changed_index_is_found_though_the_time_was_kept(
        self, folder: FeatureFolder, path: Path, change: str
    ) -> None:
        file = file_of(path, 5)
        stat = file.stat()
        with safe_open(file, "pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name).clone() for name in ("global", "local")}
        images = json.loads(metadata["images"])
        if change == "permuted":
            images = images[1:] + images[:1]
        elif change == "cut":
            images, tensors = images[:3], {name: tensor[:3].clone() for name, tensor in tensors.items()}
        elif change == "other digest":
            images[0][1] = "f" * 32
        elif change == "other rows":
            metadata["sha256"] = json.dumps(["0" * 64, "0" * 64])
        elif change == "another folder's":
            metadata["about"] = json.dumps(ABOUT | {"view": "view-001"})
        elif change == "shape":
            tensors["local"] = tensors["local"][:, :2].clone()
        metadata["images"] = json.dumps(images)
        save_file(tensors, file, metadata)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        self.is_set_aside(path, why="than was written" if change == "shape" else "its index does not match")

    def test_a_file_of_another_view(self, folder: FeatureFolder, path: Path, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        about = ABOUT | {"view": "view-001"}
        name = write_segment(tmp_path / "other", COLUMNS, about, keys(4, 8), rows(0, 4))
        file_of(path, 5).unlink()
        shutil.copy2(tmp_path / "other" / name, path)
        self.is_set_aside(path, why="features of another backbone, dataset or view")

    def test_damage_that_leaves_no_trace_is_found_by_verify(self, folder: FeatureFolder, path: Path) -> None:
        file = file_of(path, 5)
        flip(file, -1, keep_time=True)
        assert reopened(path).missing(keys(0, 10)) == []
        assert reopened(path).verify() == {file.name: "features do not match their checksum"}

    def test_a_touched_file_is_read_once_and_trusted_again(
        self, folder: FeatureFolder, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = file_of(path, 5).stat().st_mtime_ns
        os.utime(file_of(path, 5))  # as after copying a store
        reader = reopened(path)
        assert reader.missing(keys(0, 10)) == []
        assert file_of(path, 5).stat().st_mtime_ns > written  # looking alone writes nothing
        reader.note_use()
        assert file_of(path, 5).stat().st_mtime_ns == written
        monkeypatch.setattr("dualpt.core.features.segment._sha256", lambda tensor: pytest.fail("read again"))
        assert reopened(path).missing(keys(0, 10)) == []
        assert self.caplog.records == []

    @pytest.mark.parametrize(
        "change",
        [
            {"start": 0, "stop": 4},
            {"start": 5, "stop": 9},
            {"stop": 9},
            {"images": keys(4, 7)},
            {"images": [*keys(4, 7), *keys(4, 5)]},
            {"sha256": ["0" * 64, "0" * 64]},
            {"sha256": []},
            {"images": 4},
            None,
        ],
    )
    def test_a_changed_record_of_the_former_version(
        self, former: FeatureFolder, path: Path, change: dict[str, object] | None
    ) -> None:
        record = path / "rows-000000004.json"
        content = json.loads(record.read_text())
        record.write_text("{" if change is None else json.dumps(content | change))
        self.is_set_aside(path, why="checksum" if change and change.get("sha256") else "record")

    @pytest.mark.parametrize("column", COLUMNS)
    def test_a_flipped_bit_of_the_former_version(self, former: FeatureFolder, path: Path, column: Column) -> None:
        assert former.missing(keys(0, 10)) == []
        flip(path / column.file, 5 * column.row_bytes + 3)
        assert former.missing(keys(0, 10)) == keys(4, 8)
        self.caplog.clear()
        folder = reopened(path)
        assert folder.missing(keys(0, 10)) == keys(4, 8)
        assert sum("features do not match" in record.getMessage() for record in self.caplog.records) == 1
        folder.note_use()  # must not vouch for the damaged batch
        self.caplog.clear()
        folder = reopened(path)
        assert folder.missing(keys(0, 10)) == keys(4, 8)
        add(folder, 4, 8)
        assert numbers(reopened(path), keys(0, 10)) == list(range(10))

    @pytest.mark.parametrize("column", COLUMNS)
    def test_a_cut_off_file_of_the_former_version(self, former: FeatureFolder, path: Path, column: Column) -> None:
        assert former.missing(keys(0, 10)) == []
        os.truncate(path / column.file, 6 * column.row_bytes)  # six of ten rows
        for one in (former, reopened(path)):
            assert one.missing(keys(0, 10)) == keys(4, 10)
        add(former, 4, 12)
        assert numbers(reopened(path), keys(0, 12)) == list(range(12))

    def test_what_the_former_version_cannot_show_is_said(self, former: FeatureFolder, path: Path) -> None:
        assert former.missing(keys(0, 10)) == []
        assert self.caplog.records == []
        record = path / "rows-000000004.json"
        content = json.loads(record.read_text())
        record.write_text(json.dumps(content | {"images": content["images"][::-1]}))
        os.utime(record, ns=(0, (path / "checked.json").stat().st_mtime_ns + 1))
        reader = reopened(path)
        assert reader.missing(keys(0, 10)) == []  # its checksums hold
        (line,) = [record.getMessage() for record in self.caplog.records]
        assert "nothing would show whether images had changed places in a record" in line
        reader.note_use()
        self.caplog.clear()
        assert reopened(path).missing(keys(0, 10)) == []  # read through once
        assert self.caplog.records == []


def test_a_deleted_folder_is_noticed(either: FeatureFolder, path: Path) -> None:
    shutil.rmtree(path)
    assert either.missing(keys(0, 2)) == keys(0, 2)
    add(either, 0, 2)
    assert numbers(either, keys(0, 2)) == [0, 1]


def test_folders_can_be_opened_without_their_backbone(either: FeatureFolder, path: Path) -> None:
    (found,), unreadable = open_folders(path.parent)
    assert unreadable == []
    assert found.columns == COLUMNS
    assert found.about == ABOUT
    assert numbers(found, keys(0, 10)) == list(range(10))


def test_usage_counts_both_layouts(former: FeatureFolder, path: Path) -> None:
    added = add(former, 10, 12)
    usage = former.usage()
    assert (usage.rows, usage.former_rows, usage.idle_bytes) == (12, 10, 0)
    own = {"about.json", "checked.json"}
    assert usage.bytes == sum(file.stat().st_size for file in path.iterdir() if file.name not in own)
    flip(added, -1)
    assert former.usage().idle_bytes == added.stat().st_size


def test_rows_of_another_shape_are_a_bug(folder: FeatureFolder) -> None:
    with pytest.raises(ValueError, match="expected 1 rows of shape"):
        folder.add(keys(10, 11), (torch.ones(1, 5), torch.ones(1, 3, 4)))


def test_one_process_writes_at_a_time(folder: FeatureFolder, path: Path) -> None:
    with folder.locked(), pytest.raises(Timeout), reopened(path).locked(timeout=0):
        pass
    with reopened(path).locked(timeout=0):
        pass


def test_too_little_room_is_said_before_work_begins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(feature_folder.shutil, "disk_usage", lambda _: usage(1000, 100, 900))
    check_room(path / "not" / "yet", 22, 22 * 40)
    with pytest.raises(StorageError, match=r"features of 30 images need 3,000.0 MB, 0.0 MB are free; make room"):
        check_room(path / "not" / "yet", 30, 3_000_000_000)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    folder: FeatureFolder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(path.iterdir())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"the disk is full; make room, or set DUALPT_CACHE"):
        add(folder, 10, 12)
    assert set(path.iterdir()) == before
    assert folder.missing(keys(9, 12)) == keys(10, 12)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"cannot be written \(Not a directory\)"),
        reopened(tmp_path / "file" / "features").locked(),
    ):
        pass
