"""The feature store does each image's work once, and survives kills, moves and damage."""

import logging
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from PIL import Image

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.backbone import backbone_facts, load_backbone
from dualpt.core.data.images import View, decode
from dualpt.core.errors import StorageError, UserError
from dualpt.core.features import encoding
from dualpt.core.features import store as feature_store
from dualpt.core.features.store import FeatureStore
from dualpt.core.features.upkeep import verify_store
from tests.core.features.former_layout import write_former
from tests.core.features.tiny import NAME, agrees, expected, flip, tiny_backbone


class TestStore:
    def test_features_in_the_order_of_items(self, store, backbone, image_root, items) -> None:
        found = store.features(backbone, NAME, image_root, items, "value")
        assert agrees(found, expected(backbone, image_root, items))
        assert found.labels.tolist() == [item.label for item in items]
        shuffled = items[::-3]
        found = store.features(backbone, NAME, image_root, shuffled, "value")
        assert agrees(found, expected(backbone, image_root, shuffled))

    def test_nothing_is_encoded_twice(self, store, backbone, image_root, items, encoded) -> None:
        store.features(backbone, NAME, image_root, items[:10], "value")
        assert encoded == [8, 2]
        store.features(backbone, NAME, image_root, items[:12], "value")
        assert encoded == [8, 2, 2]
        FeatureStore(store.root).features(backbone, NAME, image_root, items[:12], "value")
        assert encoded == [8, 2, 2]

    def test_global_features_are_taken_from_where_they_are(self, store, backbone, image_root, items, encoded) -> None:
        store.features(backbone, NAME, image_root, items[:8], "tokens")
        found = store.features(backbone, NAME, image_root, items[:8], None)
        assert encoded == [8]
        assert found.local_features is None
        store.features(backbone, NAME, image_root, items[:10], None)
        assert encoded == [8, 8, 2]

    def test_what_features_depend_on_is_kept_apart(self, store, backbone, image_root, items, encoded) -> None:
        smaller = replace(backbone.preprocess, resize_mode="squash")
        for other in (backbone, tiny_backbone(1), replace(backbone, preprocess=smaller)):
            for local, view in (("value", None), ("tokens", None), ("value", View(0)), ("value", View(1))):
                before = len(encoded)
                store.features(other, NAME, image_root, items[:4], local, view)
                assert len(encoded) == before + 1
        store.features(backbone, "EuroSAT", image_root, items[:4], "value")
        assert len(encoded) == 13

    def test_progress_counts_all_images(self, store, backbone, image_root, items, encoded) -> None:
        seen: list[tuple[int, int]] = []
        store.features(backbone, NAME, image_root, items[:5], None)
        store.features(backbone, NAME, image_root, items[:20], None, progress=lambda *p: seen.append(p))
        assert seen == [(13, 20), (20, 20)]

    def test_no_items(self, store, backbone, image_root) -> None:
        found = store.features(backbone, NAME, image_root, (), "value")
        assert found.global_features.shape == (0, 8)
        assert found.local_features.shape == (0, 4, 8)

    def test_repeated_items(self, store, backbone, image_root, items) -> None:
        twice = (items[3], items[5], items[3])
        found = store.features(backbone, NAME, image_root, twice, "value")
        assert agrees(found, expected(backbone, image_root, twice))

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_half_precision_towers_have_half_precision_files(
        self, store, backbone, image_root, items, precision
    ) -> None:
        model = tiny_backbone().model.to(torch_type(precision))
        half = replace(backbone, precision=precision, load_model=lambda: model)
        found = store.features(half, NAME, image_root, items, "value")
        assert found.global_features.dtype == torch.float32
        assert found.local_features.dtype == torch.float16
        assert agrees(found, expected(backbone, image_root, items), atol=0.03)

    def test_views_are_crops_and_the_same_again(self, store, backbone, image_root, items, tmp_path) -> None:
        views = [store.features(backbone, NAME, image_root, items, "value", view) for view in (None, View(0), View(1))]
        for one, other in ((0, 1), (1, 2), (0, 2)):
            assert not torch.allclose(views[one].global_features, views[other].global_features, atol=1e-3)
        again = FeatureStore(tmp_path / "again").features(backbone, NAME, image_root, items[::-1], "value", View(1))
        assert torch.allclose(again.global_features.flip(0), views[2].global_features, atol=1e-6)


def torch_type(precision: str) -> torch.dtype:
    return {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]


class TestPlacesAndContent:
    @pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
    def test_a_moved_data_root_keeps_its_features(
        self, store, backbone, image_root, items, encoded, tmp_path, move
    ) -> None:
        before = store.features(backbone, NAME, image_root, items, "value")
        moved = Path(move(image_root, tmp_path / "elsewhere"))
        encoded.clear()
        after = store.features(backbone, NAME, moved, items, "value")
        assert encoded == []
        assert torch.equal(before.global_features, after.global_features)

    def test_a_changed_image_is_encoded_again(self, store, backbone, image_root, items, encoded) -> None:
        store.features(backbone, NAME, image_root, items[:8], "value")
        Image.new("RGB", (24, 20), "red").save(image_root / items[2].path)
        found = store.features(backbone, NAME, image_root, items[:8], "value")
        assert encoded == [8, 1]
        assert agrees(found, expected(backbone, image_root, items[:8]))

    def test_equal_paths_of_two_datasets_do_not_mix(self, store, backbone, image_root, items, tmp_path) -> None:
        other = Path(shutil.copytree(image_root, tmp_path / "other"))
        Image.new("RGB", (24, 20), "red").save(other / items[0].path)
        for root, name in ((image_root, NAME), (other, "EuroSAT"), (other, NAME)):
            found = store.features(backbone, name, root, items[:3], "value")
            assert agrees(found, expected(backbone, root, items[:3]))


class TestFaults:
    def test_a_missing_image(self, store, backbone, image_root, items) -> None:
        (image_root / items[4].path).unlink()
        with pytest.raises(UserError, match=f"{items[4].path}: image missing"):
            store.features(backbone, NAME, image_root, items, "value")

    def test_an_unreadable_image_keeps_what_was_done(self, store, backbone, image_root, items, encoded) -> None:
        (image_root / items[20].path).write_text("<html>")
        with pytest.raises(UserError, match=f"{items[20].path}: not a readable image"):
            store.features(backbone, NAME, image_root, items, "value")
        Image.new("RGB", (24, 20)).save(image_root / items[20].path)
        encoded.clear()
        found = store.features(backbone, NAME, image_root, items, "value")
        assert sum(encoded) == len(items) - 16  # two batches of eight were stored before
        assert agrees(found, expected(backbone, image_root, items))

    @pytest.mark.parametrize("value", [torch.nan, 0.0])
    def test_features_without_a_direction(self, store, backbone, image_root, items, value) -> None:
        backbone.model.visual.proj.data.fill_(value)
        with pytest.raises(UserError, match=r"aren't finite, or are zero; check the weights"):
            store.features(backbone, NAME, image_root, items, None)

    def test_damage_is_found_by_verify_and_encoded_again(self, filled, backbone, image_root, items, encoded) -> None:
        assert verify_store(filled.root).damaged == {}
        file = sorted(filled.root.rglob("*.safetensors"))[0]
        flip(file, -1)
        ((folder, files),) = verify_store(filled.root).damaged.items()
        assert (folder, files) == (file.parent, {file.name: "features do not match their checksum"})
        found = filled.features(backbone, NAME, image_root, items, "value")
        assert encoded in ([8], [4])
        assert agrees(found, expected(backbone, image_root, items))


class TestFormerLayout:
    """Features of the former version are used as they are; new ones go to files beside them."""

    @pytest.fixture
    def former(self, filled, backbone, image_root, items) -> FeatureStore:
        """The first twenty images as the former version stored them."""
        folder = filled._folder(backbone, NAME, "value", None)
        images = filled._keys(image_root, items[:20])
        folder.missing(images)
        global_features, local_features = folder.read(images)
        shutil.rmtree(filled.root)
        rows = (global_features.clone(), local_features[:].clone())
        write_former(folder.path, folder.columns, folder.about, images, rows, batch=8)
        return FeatureStore(filled.root)

    def test_nothing_is_encoded_again(self, former, backbone, image_root, items, encoded, caplog) -> None:
        found = former.features(backbone, NAME, image_root, items[19::-1], "value")
        assert encoded == []
        assert agrees(found, expected(backbone, image_root, items[19::-1]))
        assert caplog.records == []

    def test_what_is_added_lies_beside_it(self, former, backbone, image_root, items, encoded) -> None:
        old = {path: path.read_bytes() for path in former.root.rglob("*") if path.is_file()}
        found = [store.features(backbone, NAME, image_root, items, "value") for store in (former, former)]
        assert sum(encoded) == len(items) - 20
        assert all(agrees(one, expected(backbone, image_root, items)) for one in found)
        assert all(path.read_bytes() == content for path, content in old.items())
        result = verify_store(former.root)
        assert (result.rows, result.former_rows, result.damaged) == (len(items), 20, {})

    def test_a_damaged_batch_is_encoded_again(self, former, backbone, image_root, items, encoded, caplog) -> None:
        (file,) = former.root.rglob("local.f32")
        flip(file, 9 * 4 * 8 * 4)  # in row 9, of P x D x 4 bytes
        found = former.features(backbone, NAME, image_root, items[:20], "value")
        assert encoded == [8]
        assert agrees(found, expected(backbone, image_root, items[:20]))
        assert [record.levelno for record in caplog.records].count(logging.WARNING) == len(caplog.records) > 0
        assert verify_store(former.root).damaged == {}


def test_a_full_disk_stops_in_one_line_and_keeps_what_was_written(
    store, backbone, image_root, items, encoded, monkeypatch
) -> None:
    write, calls = encoding.FeatureFolder.add, []

    def full(self: encoding.FeatureFolder, *arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > 2:
            raise StorageError("the disk is full")
        write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(encoding.FeatureFolder, "add", full)
    with pytest.raises(StorageError, match="the disk is full"):
        store.features(backbone, NAME, image_root, items, "value")
    monkeypatch.setattr(encoding.FeatureFolder, "add", write)
    assert len(store.missing(backbone, NAME, image_root, items, "value")[0]) == len(items) - 16
    assert agrees(store.features(backbone, NAME, image_root, items, "value"), expected(backbone, image_root, items))


def test_fast_builds_leave_few_files(store, backbone, image_root, items, monkeypatch) -> None:
    monkeypatch.setattr(encoding, "BATCH_IMAGES", 8)
    store.features(backbone, NAME, image_root, items, "value")
    assert len(list(store.root.rglob("*.safetensors"))) == 1
    monkeypatch.setattr(encoding, "FILE_SECONDS", 0.0)  # a batch takes longer
    store.features(backbone, NAME, image_root, items, "value", view=View(1))
    assert len(list(store.root.rglob("view-001/*.safetensors"))) == 5


def test_two_threads_do_the_work_once(tmp_path, backbone, image_root, items, encoded) -> None:
    barrier = threading.Barrier(2)
    found: list[ImageFeatures] = []

    def build() -> None:
        store = FeatureStore(tmp_path / "features")
        barrier.wait()
        found.append(store.features(backbone, NAME, image_root, items, "value"))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(encoded) == len(items)
    assert torch.equal(found[0].global_features, found[1].global_features)


def test_a_waiting_builder_shows_the_others_progress(store, backbone, image_root, items, monkeypatch) -> None:
    monkeypatch.setattr(feature_store, "WAIT_SECONDS", 0.05)
    store.features(backbone, NAME, image_root, items[:8], "value")
    (about,) = store.root.rglob("about.json")
    other = FileLock(about.parent.with_name(f".{about.parent.name}.lock"))
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


BUILDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from dualpt.core.clip.backbone import Backbone
from dualpt.core.data.readers import read_split
from dualpt.core.features import encoding
from dualpt.core.features import store as feature_store
from dualpt.core.features.store import FeatureStore
from tests.core.features.tiny import NAME, TEXTURES, tiny_backbone

encoding.BATCH_IMAGES, encoding.FILE_SECONDS = 4, 0.0
encode = Backbone.encode
def slow(self, images, local):
    time.sleep(float(sys.argv[4]))
    print(len(images), flush=True)
    return encode(self, images, local)
Backbone.encode = slow
split = read_split(TEXTURES, Path(sys.argv[1]))
store = FeatureStore(Path(sys.argv[2]))
root = TEXTURES.image_root(Path(sys.argv[1]))
print("ready", flush=True)
store.features(tiny_backbone(), NAME, root, split.train + split.val + split.test, "value")
"""


def start_builder(data_root: Path, folder: Path, seconds_per_batch: float) -> subprocess.Popen[str]:
    arguments = [str(data_root), str(folder), str(Path(__file__).parents[3]), str(seconds_per_batch)]
    return subprocess.Popen([sys.executable, "-c", BUILDER, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.cluster
def test_two_processes_do_the_work_once(tmp_path, tiny_textures, items) -> None:
    builders = [start_builder(tiny_textures, tmp_path / "features", 0.2) for _ in range(2)]
    batches = [line for builder in builders for line in builder.communicate()[0].split() if line != "ready"]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert sum(map(int, batches)) == len(items)


@pytest.mark.cluster
def test_a_killed_build_loses_its_batch_alone(tmp_path, tiny_textures, backbone, items, image_root, encoded) -> None:
    folder = tmp_path / "features"
    builder = start_builder(tiny_textures, folder, 0.5)
    while len(list(folder.rglob("*.safetensors"))) < 3:
        assert builder.poll() is None
        time.sleep(0.05)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    committed = 4 * len(list(folder.rglob("*.safetensors")))
    assert committed < len(items)
    found = FeatureStore(folder).features(backbone, NAME, image_root, items, "value")
    assert sum(encoded) == len(items) - committed
    assert agrees(found, expected(backbone, image_root, items))


@pytest.mark.parametrize("name", ["mini-clip", "ViT-B-16", "RN50"])
def test_facts_are_those_of_the_backbone(name: str) -> None:
    facts = backbone_facts(name, "random", "bf16")
    if name == "mini-clip":
        loaded = load_backbone(name, "random", "bf16")
        fields = ("name", "weights_fingerprint", "preprocess", "precision", "width", "n_positions", "hidden_width")
        assert all(getattr(facts, field) == getattr(loaded, field) for field in fields)
    else:
        assert (facts.width, facts.n_positions) == {"ViT-B-16": (512, 196), "RN50": (1024, 49)}[name]


class TestNorms:
    """Norms of raw features: kept with every new row, and missing in rows of former versions."""

    def test_they_are_kept_with_every_row(self, filled, backbone, image_root, items, encoded) -> None:
        found = filled.features(backbone, NAME, image_root, items[::-1], None, norms=True)
        pixels = torch.stack([backbone.preprocess.plain(decode(image_root / item.path)) for item in items[::-1]])
        with torch.no_grad():
            raw = backbone.model.visual(pixels)
        assert encoded == []
        assert torch.allclose(found.global_features * found.norms[:, None], raw, atol=1e-5)
        assert filled.features(backbone, NAME, image_root, items, None).norms is None

    def test_older_rows_are_of_use_to_all_that_do_not_read_them(
        self, store, backbone, image_root, items, encoded, caplog
    ) -> None:
        write_without_norms(store, backbone, image_root, items)
        encoded.clear()
        assert len(store.features(backbone, NAME, image_root, items, None)) == len(items)
        assert encoded == []
        assert store.missing(backbone, NAME, image_root, items, None, norms=True)[0] != []
        found = store.features(backbone, NAME, image_root, items, None, norms=True)
        assert sum(encoded) == len(items)
        assert f"{len(items)} images were stored by a version that kept no norms" in caplog.text
        assert (found.norms > 0).all()
        again = FeatureStore(store.root)
        assert again.features(backbone, NAME, image_root, items, None, norms=True).norms.equal(found.norms)
        assert sum(encoded) == len(items)
        assert verify_store(store.root).rows == len(items)


def write_without_norms(store, backbone, image_root, items) -> None:
    """Rows as a version before norms wrote them."""
    global_features, _ = expected(backbone, image_root, items)
    folder = store._folder(backbone, NAME, None, None)
    with folder.locked():
        folder.describe()
        folder.add(store._keys(image_root, items), [global_features])


def test_crops_of_another_least_area_are_other_views(store, backbone, image_root, items) -> None:
    views = [store.features(backbone, NAME, image_root, items, None, View(0, area)) for area in (0.08, 0.5)]
    assert not torch.allclose(views[0].global_features, views[1].global_features, atol=1e-3)
    assert {path.name for path in store.root.rglob("view-*") if path.is_dir()} == {"view-000", "view-000-area-0.5"}


def test_hidden_features_are_kept_where_they_are_read(store, backbone, image_root, items, encoded) -> None:
    found = store.features(backbone, NAME, image_root, items, "hidden")
    assert found.local_features.shape == (len(items), backbone.hidden_width)
    raw = torch.nn.functional.normalize(found.local_features @ backbone.projection, dim=-1)
    assert torch.allclose(raw, found.global_features, atol=1e-5)
    encoded.clear()
    assert store.features(backbone, NAME, image_root, items, None).local_features is None
    assert encoded == []  # global features are kept beside them
