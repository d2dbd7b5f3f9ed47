"""The store's upkeep: damage is found when files are touched, waiting builders show progress, gc keeps what is not its.

Uses the tiny backbone and dataset of `test_features`.
"""

import errno
import json
import os
import shutil
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from dualpt.core.arrays import ImageFeatures, StoredRows
from dualpt.core.cell import Cell
from dualpt.core.clip.backbone import Backbone, backbone_facts, load_backbone
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError
from dualpt.core.features import encoding
from dualpt.core.features import needs as feature_needs
from dualpt.core.features import shelf as feature_shelf
from dualpt.core.features import store as features
from dualpt.core.features.encoding import measure_pace
from dualpt.core.features.needs import FeatureEstimate, FeatureNeed, check_room, needs_of
from dualpt.core.features.pace import Pace
from dualpt.core.features.shelf import FeatureShelf
from dualpt.core.features.store import CachedTrainImages, FeatureStore
from dualpt.core.features.upkeep import collect_garbage, list_store, verify_store
from dualpt.core.methods import method_setting
from tests.core.features.test_store import NAME, TEXTURES, agrees, expected, tiny_backbone

pytestmark = pytest.mark.usefixtures("private_cache")


@pytest.fixture
def image_root(tiny_textures: Path) -> Path:
    return TEXTURES.image_root(tiny_textures)


@pytest.fixture
def items(tiny_textures: Path) -> tuple[Item, ...]:
    split = read_split(TEXTURES, tiny_textures)
    return split.train + split.val + split.test


@pytest.fixture
def backbone() -> Backbone:
    return tiny_backbone()


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


@pytest.fixture
def filled(store: FeatureStore, backbone: Backbone, image_root: Path, items, monkeypatch) -> FeatureStore:
    """All images of the dataset, in batches of eight."""
    monkeypatch.setattr(encoding, "BATCH_IMAGES", 8)
    store.features(backbone, NAME, image_root, items, "value")
    return store


def shelf_folder(store: FeatureStore) -> Path:
    (about,) = store.folder.rglob("about.json")
    return about.parent


def flip(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 0xFF
    path.write_bytes(content)


class TestTouchedFiles:
    def test_damage_is_found_and_mended_by_the_next_reader(self, filled, backbone, image_root, items) -> None:
        flip(shelf_folder(filled) / "local.f32", 9 * 4 * 8 * 4)  # in row 9, of P x D x 4 bytes
        for store in (filled, FeatureStore(filled.folder)):
            assert agrees(
                store.features(backbone, NAME, image_root, items, "value"), expected(backbone, image_root, items)
            )
        assert verify_store(filled.folder).damaged == {}

    def test_only_the_damaged_batch_is_encoded_anew(self, filled, backbone, image_root, items) -> None:
        flip(shelf_folder(filled) / "global.f32", 0)
        missing, _ = FeatureStore(filled.folder).missing(backbone, NAME, image_root, items, "value")
        assert [image.path for image in missing] == [item.path for item in items[:8]]

    def test_files_that_kept_their_times_are_not_read_again(
        self, filled, backbone, image_root, items, monkeypatch
    ) -> None:
        checked: list[object] = []
        monkeypatch.setattr(FeatureShelf, "_intact", lambda self, record: checked.append(record) or True)
        store = FeatureStore(filled.folder)
        store.features(backbone, NAME, image_root, items, "value")
        assert checked == []
        os.utime(shelf_folder(filled) / "local.f32")  # as after copying the store
        for _ in range(2):
            store.features(backbone, NAME, image_root, items, "value")
        assert len(checked) == 5  # once, each of five batches

    def test_a_copied_store_is_checked_once_and_used(self, filled, backbone, image_root, items, tmp_path) -> None:
        copied = FeatureStore(Path(shutil.copytree(filled.folder, tmp_path / "copy", copy_function=shutil.copyfile)))
        missing, _ = copied.missing(backbone, NAME, image_root, items, "value")
        assert missing == []


class TestRowsOutOfOrder:
    def test_they_stay_on_disk(self, filled, backbone, image_root, items) -> None:
        shuffled = items[::-3]
        found = filled.features(backbone, NAME, image_root, shuffled, "value")
        assert isinstance(found.local_features, StoredRows)
        assert found.local_features.shape == (len(shuffled), 4, 8)
        assert agrees(found, expected(backbone, image_root, shuffled))

    def test_chunks_and_rows_are_tensors(self, filled, backbone, image_root, items) -> None:
        shuffled = items[::-3]
        wanted = expected(backbone, image_root, shuffled)
        found = filled.features(backbone, NAME, image_root, shuffled, "value")
        chunks = list(found.chunks(5))
        assert torch.allclose(torch.cat([chunk.local_features for chunk in chunks]), wanted[1], atol=1e-6)
        some = found.rows(torch.tensor([7, 0, 7]))
        assert torch.allclose(some.local_features, wanted[1][[7, 0, 7]], atol=1e-6)

    def test_training_batches(self, filled, backbone, image_root, items) -> None:
        shuffled = items[::-3]
        views = [filled.features(backbone, NAME, image_root, shuffled, "value", view) for view in (None, 0)]
        whole = [ImageFeatures(v.global_features, v.local_features[:], v.labels) for v in views]
        rows, paths = torch.tensor([[0, 5, 2], [3, 3, 1]]), [item.path for item in shuffled]
        for count in (1, 2):
            one = CachedTrainImages(views[:count], paths).batch(rows, 4)
            other = CachedTrainImages(whole[:count], paths).batch(rows, 4)
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_waiting_builder_shows_the_others_progress(store, backbone, image_root, items, monkeypatch) -> None:
    monkeypatch.setattr(features, "WAIT_SECONDS", 0.05)
    store.features(backbone, NAME, image_root, items[:8], "value")
    folder = shelf_folder(store)
    other = FileLock(folder.with_name(f".{folder.name}.lock"))
    other.acquire()
    seen: list[tuple[int, int]] = []
    waiting = threading.Thread(
        target=lambda: store.features(
            backbone, NAME, image_root, items[:12], "value", progress=lambda *p: seen.append(p)
        )
    )
    waiting.start()
    time.sleep(0.3)
    assert seen
    assert set(seen) == {(8, 12)}
    other.release()
    waiting.join()
    assert seen[-1] == (12, 12)


class TestCollection:
    def test_by_default_sound_shelves_stay(self, filled) -> None:
        assert collect_garbage(filled.folder).removed == {}
        assert len(list_store(filled.folder).shelves) == 1

    def test_unused_shelves_go(self, filled, backbone, image_root, items) -> None:
        folder = shelf_folder(filled)
        assert collect_garbage(filled.folder, unused_days=30).removed == {}
        long_ago = time.time() - 40 * 86400
        os.utime(folder / "about.json", (long_ago, long_ago))
        dry = collect_garbage(filled.folder, unused_days=30, dry_run=True)
        assert dry.removed == {folder: "unused for 40 days"}
        assert folder.exists()
        assert collect_garbage(filled.folder, unused_days=30).bytes == dry.bytes > 0
        assert not folder.exists()
        assert agrees(
            filled.features(backbone, NAME, image_root, items, "value"), expected(backbone, image_root, items)
        )

    def test_reading_counts_as_use(self, filled, backbone, image_root, items) -> None:
        about = shelf_folder(filled) / "about.json"
        os.utime(about, (0, 0))
        filled.features(backbone, NAME, image_root, items, "value")
        assert collect_garbage(filled.folder, unused_days=1).removed == {}

    def test_named_shelves_go(self, filled) -> None:
        for wrong, said in (
            ({"backbone": "tinny"}, "--backbone: the store has no backbone 'tinny'; did you mean 'tiny'?"),
            ({"dataset": "EuroSAT"}, "--dataset: the store has no dataset 'EuroSAT'"),
        ):
            with pytest.raises(UserError) as caught:
                collect_garbage(filled.folder, **wrong)
            assert said in str(caught.value)
        assert list(collect_garbage(filled.folder, dataset=NAME).removed.values()) == ["named"]

    def test_other_versions_and_leftovers_go(self, filled) -> None:
        folder = shelf_folder(filled)
        about = json.loads((folder / "about.json").read_text())
        (folder / "about.json").write_text(json.dumps(about | {"version": 0}))
        leftover, fresh = filled.folder / ".tmp-old", filled.folder / ".tmp-new"
        for path in (leftover, fresh):
            path.write_text("half")
        os.utime(leftover, (0, 0))
        removed = collect_garbage(filled.folder).removed
        assert removed == {folder: "of another version", leftover: "left by a killed writer"}
        assert fresh.exists()

    def test_what_is_not_the_stores_stays(self, filled) -> None:
        folder = shelf_folder(filled)
        (folder / "notes.txt").write_text("mine")
        (filled.folder / "mine").mkdir()
        (filled.folder / "mine" / "about.json").write_text("not a shelf")
        assert list_store(filled.folder).unreadable == [filled.folder / "mine" / "about.json"]
        result = collect_garbage(filled.folder, backbone="tiny")
        assert set(result.foreign) == {folder / "notes.txt", filled.folder / "mine" / "about.json"}
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]
        assert (filled.folder / "mine" / "about.json").exists()

    def test_shelves_in_use_stay(self, filled) -> None:
        folder = shelf_folder(filled)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            assert collect_garbage(filled.folder, backbone="tiny").in_use == [folder]
        assert list_store(filled.folder).shelves[0][1].rows == 36

    @pytest.mark.parametrize("deleted", [1, 4, 6, 7])
    def test_cut_off_it_has_lost_rows_and_not_sense(
        self, filled, backbone, image_root, items, monkeypatch, deleted
    ) -> None:
        unlink, done = Path.unlink, []

        def cut_off(path: Path, missing_ok: bool = False) -> None:
            if len(done) == deleted:
                raise KeyboardInterrupt
            done.append(path)
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", cut_off)
        with pytest.raises(KeyboardInterrupt):
            collect_garbage(filled.folder, backbone="tiny")
        monkeypatch.setattr(Path, "unlink", unlink)
        again = FeatureStore(filled.folder)
        assert agrees(again.features(backbone, NAME, image_root, items, "value"), expected(backbone, image_root, items))
        assert verify_store(filled.folder).damaged == {}

    def test_a_layout_file_that_was_lost_is_written_anew(self, filled, backbone, image_root, items) -> None:
        about = shelf_folder(filled) / "about.json"
        about.write_text("{")
        assert list_store(filled.folder).unreadable == [about]
        flip(about.parent / "global.f32", 0)
        FeatureStore(filled.folder).features(backbone, NAME, image_root, items, "value")
        assert list_store(filled.folder).unreadable == []


class TestFoldersThatCannotBeWritten:
    """Tests may run as root, whom no permission stops: the system's refusals are played."""

    def refuse(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        def refused(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(FileLock, "acquire", refused)
        monkeypatch.setattr(feature_shelf, "write_atomically", refused_write(number))

    def test_a_full_store_is_still_read(self, filled, backbone, image_root, items, monkeypatch) -> None:
        self.refuse(monkeypatch, errno.EROFS)
        os.utime(shelf_folder(filled) / "local.f32")  # even if it has to be checked first
        found = FeatureStore(filled.folder).features(backbone, NAME, image_root, items, "value")
        assert agrees(found, expected(backbone, image_root, items))

    def test_missing_rows_are_one_line(self, filled, backbone, image_root, items, monkeypatch) -> None:
        self.refuse(monkeypatch, errno.EROFS)
        with pytest.raises(
            UserError, match=r"cannot be written \(Read-only file system\); make room, or set DUALPT_CACHE"
        ):
            FeatureStore(filled.folder).features(backbone, NAME, image_root, items, "value", view=1)

    def test_so_are_damage_and_collection(self, filled, monkeypatch) -> None:
        flip(shelf_folder(filled) / "global.f32", 0)
        self.refuse(monkeypatch, errno.EACCES)
        for upkeep in (verify_store, lambda folder: collect_garbage(folder, backbone="tiny")):
            with pytest.raises(UserError, match=r"cannot be written \(Permission denied\)"):
                upkeep(filled.folder)


def refused_write(number: int):
    def write(path: Path, text: str) -> None:
        raise UserError(f"{path}: {os.strerror(number)}")

    return write


def test_a_disk_that_fills_up_keeps_what_was_written(store, backbone, image_root, items, monkeypatch) -> None:
    monkeypatch.setattr(encoding, "BATCH_IMAGES", 8)
    write, calls = FeatureShelf._write, []

    def full(self: FeatureShelf, *arguments: object) -> str:
        calls.append(arguments)
        if len(calls) > 5:  # two columns a batch
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, *arguments)

    monkeypatch.setattr(FeatureShelf, "_write", full)
    with pytest.raises(UserError, match="the disk is full"):
        store.features(backbone, NAME, image_root, items, "value")
    monkeypatch.setattr(FeatureShelf, "_write", write)
    assert len(store.missing(backbone, NAME, image_root, items, "value")[0]) == len(items) - 16
    assert agrees(store.features(backbone, NAME, image_root, items, "value"), expected(backbone, image_root, items))


class TestNeeds:
    def cell(self, method: str = "dualpt", **more) -> Cell:
        values = {key.replace("__", "."): value for key, value in more.items()}
        return Cell(method_setting(method).with_values(values), "mini-tiles", "few-shot", 2, 1)

    def test_views_are_of_training_images_alone(self) -> None:
        by_view = {need.view: len(need.items) for need in needs_of([self.cell(data__views=2)])}
        plain = {need.view: len(need.items) for need in needs_of([self.cell()])}
        online = {need.view: len(need.items) for need in needs_of([self.cell(data__views=0)])}
        assert set(by_view) == {None, 0, 1}
        assert by_view[0] == by_view[1] == 16
        assert set(plain) == set(online) == {None}
        assert plain[None] - online[None] == 16
        assert by_view[None] == online[None]

    def test_local_features_only_where_used_and_once(self) -> None:
        assert [need.local for need in needs_of([self.cell("coop")])] == [None]
        assert [need.local for need in needs_of([self.cell("coop"), self.cell()])] == ["value"]

    def test_too_little_room_for_all_is_said_before_the_first(self, monkeypatch, tmp_path) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(feature_needs.shutil, "disk_usage", lambda _: usage(1000, 0, 1000))
        (need,) = needs_of([self.cell()])
        check_room(tmp_path / "not" / "yet", [FeatureEstimate(need, 1, 600, None)])
        with pytest.raises(UserError, match=r"features of 2 images need 0.0 GB, 0.0 GB are free; make room"):
            check_room(tmp_path / "not" / "yet", [FeatureEstimate(need, 1, 600, None)] * 2)

    def test_estimates_are_what_a_build_writes(self, tmp_path) -> None:
        from dualpt.core.running.cell_runner import CellRunner

        runner, cells = CellRunner(cache=tmp_path / "cache", device="cpu"), [self.cell()]
        runner.prepare_data(cells)
        (estimate,) = runner.estimate_features(cells)
        assert estimate.seconds is not None
        assert estimate.seconds > 0
        assert runner.compute([estimate]) == (estimate.missing, estimate.bytes)
        files = [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".f32", ".f16")]
        assert sum(path.stat().st_size for path in files) == estimate.bytes
        (after,) = runner.estimate_features(cells)
        assert (after.missing, after.bytes, after.seconds) == (0, 0, 0.0)
        other = CellRunner(cache=tmp_path / "cache", device="cpu")
        assert other.compute([estimate]) == (0, 0)  # as after waiting for a builder that has done it


class TestPace:
    def test_it_is_kept_and_short_builds_say_nothing(self, tmp_path) -> None:
        Pace(tmp_path).note("tiny", images=100, seconds=0.1)
        assert Pace(tmp_path).known("tiny") is None
        Pace(tmp_path).note("tiny", images=100, seconds=4)
        Pace(tmp_path).note("other", images=10, seconds=2)
        assert Pace(tmp_path).known("tiny") == 25

    @pytest.mark.parametrize("content", ["{", "[]", '{"tiny": "fast"}', '{"tiny": 0}'])
    def test_a_damaged_file_is_no_pace(self, tmp_path, content) -> None:
        (tmp_path / "pace.json").write_text(content)
        assert Pace(tmp_path).known("tiny") is None

    def test_one_image_can_be_measured(self, store, backbone, image_root, items) -> None:
        missing, _ = store.missing(backbone, NAME, image_root, items[:1], "value")
        assert measure_pace(backbone, image_root, missing, "value", None) > 0


@pytest.mark.parametrize("name", ["mini-clip", "ViT-B-16", "RN50"])
def test_facts_are_those_of_the_backbone(name: str) -> None:
    facts = backbone_facts(name, "random", "bf16")
    if name == "mini-clip":
        loaded = load_backbone(name, "random", "bf16")
        fields = ("name", "weights_fingerprint", "preprocess", "precision", "width", "n_positions")
        assert all(getattr(facts, field) == getattr(loaded, field) for field in fields)
    else:
        assert (facts.width, facts.n_positions) == {"ViT-B-16": (512, 196), "RN50": (1024, 49)}[name]


def test_needs_know_their_images(tiny_textures: Path) -> None:
    setting = method_setting("coop").with_values({"data.root": str(tiny_textures)})
    cells = [Cell(setting, NAME, "base-to-new", 1, 1)]
    (need,) = needs_of(cells)
    assert isinstance(need, FeatureNeed)
    assert need.image_root == TEXTURES.image_root(tiny_textures)
    assert {item.label for item in need.items} == {0}
