"""The feature store does each image's work once, survives kills and moves, and training batches are reproducible.

Shapes: R replicas, B images, P positions, D joint width.
"""

import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from PIL import Image
from torch import Tensor

from dualpt.core.arrays import ImageFeatures
from dualpt.core.clip.backbone import Backbone
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.images import Preprocess, decode
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import Item
from dualpt.core.errors import UserError
from dualpt.core.features import encoding
from dualpt.core.features.store import CachedTrainImages, FeatureStore, OnlineTrainImages, view_of
from dualpt.core.features.upkeep import verify_store
from dualpt.core.files.fingerprint import fingerprint

TEXTURES = dataset_info("DescribableTextures")
NAME = TEXTURES.name


def tiny_backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    model = CLIP(
        embed_dim=8,
        vision_cfg=CLIPVisionCfg(layers=1, width=16, head_width=8, patch_size=8, image_size=16),
        text_cfg=CLIPTextCfg(context_length=8, vocab_size=10, width=8, heads=2, layers=1),
    )
    return Backbone(
        name="tiny",
        model=model.eval().requires_grad_(False),
        tokenizer=None,  # type: ignore[arg-type]
        preprocess=Preprocess((16, 16), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        precision="fp32",
        device=torch.device("cpu"),
        weights_fingerprint=fingerprint(seed),
    )


@pytest.fixture
def backbone() -> Backbone:
    return tiny_backbone()


@pytest.fixture
def image_root(tiny_textures: Path) -> Path:
    return TEXTURES.image_root(tiny_textures)


@pytest.fixture
def items(tiny_textures: Path) -> tuple[Item, ...]:
    split = read_split(TEXTURES, tiny_textures)
    return split.train + split.val + split.test


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that were encoded, in batches of at most 8."""
    sizes: list[int] = []
    encode = Backbone.encode_images

    def counted(self: Backbone, images: Tensor, local: object) -> object:
        sizes.append(len(images))
        return encode(self, images, local)  # type: ignore[arg-type]

    monkeypatch.setattr(Backbone, "encode_images", counted)
    monkeypatch.setattr(encoding, "BATCH_IMAGES", 8)
    return sizes


def expected(backbone: Backbone, image_root: Path, items: tuple[Item, ...]) -> tuple[Tensor, Tensor]:
    pixels = torch.stack([backbone.preprocess.plain(decode(image_root / item.path)) for item in items])
    global_features, local_features = backbone.encode_images(pixels, "value")
    assert local_features is not None
    return global_features, local_features


def agrees(found: ImageFeatures, wanted: tuple[Tensor, Tensor], atol: float = 1e-6) -> bool:
    assert found.local_features is not None
    close = torch.allclose(found.global_features, wanted[0], atol=atol)
    return close and torch.allclose(found.local_features[:].float(), wanted[1], atol=atol)


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
            for local, view in (("value", None), ("tokens", None), ("value", 0), ("value", 1)):
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
        half = replace(backbone, precision=precision, model=tiny_backbone().model.to(torch_type(precision)))
        found = store.features(half, NAME, image_root, items, "value")
        assert found.global_features.dtype == torch.float32
        assert found.local_features.dtype == torch.float16
        assert agrees(found, expected(backbone, image_root, items), atol=0.03)

    def test_views_are_crops_and_the_same_again(self, store, backbone, image_root, items, tmp_path) -> None:
        views = [store.features(backbone, NAME, image_root, items, "value", view) for view in (None, 0, 1)]
        for one, other in ((0, 1), (1, 2), (0, 2)):
            assert not torch.allclose(views[one].global_features, views[other].global_features, atol=1e-3)
        again = FeatureStore(tmp_path / "again").features(backbone, NAME, image_root, items[::-1], "value", 1)
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

    def test_a_changed_image_is_encoded_anew(self, store, backbone, image_root, items, encoded) -> None:
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

    def test_features_that_are_not_finite(self, store, backbone, image_root, items) -> None:
        backbone.model.visual.proj.data.fill_(torch.nan)
        with pytest.raises(UserError, match=r"not finite; check the weights"):
            store.features(backbone, NAME, image_root, items, None)

    def test_damage_is_found_by_verify_and_mended(self, store, backbone, image_root, items, encoded) -> None:
        store.features(backbone, NAME, image_root, items, "value")
        assert verify_store(store.root).damaged == {}
        (file,) = store.root.rglob("local.f32")
        content = bytearray(file.read_bytes())
        content[9 * 4 * 8 * 4] ^= 0xFF  # in row 9, of P x D x 4 bytes
        file.write_bytes(content)
        ((folder, records),) = verify_store(store.root).damaged.items()
        assert (folder, records) == (file.parent, ["rows-000000008.json"])
        encoded.clear()
        found = store.features(backbone, NAME, image_root, items, "value")
        assert encoded == [8]
        assert agrees(found, expected(backbone, image_root, items))


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


BUILDER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.core.features import test_store as t

t.encoding.BATCH_IMAGES = 4
encode = t.Backbone.encode_images
def slow(self, images, local):
    time.sleep(float(sys.argv[4]))
    print(len(images), flush=True)
    return encode(self, images, local)
t.Backbone.encode_images = slow
split = t.read_split(t.TEXTURES, Path(sys.argv[1]))
store = t.FeatureStore(Path(sys.argv[2]))
root = t.TEXTURES.image_root(Path(sys.argv[1]))
print("ready", flush=True)
store.features(t.tiny_backbone(), t.NAME, root, split.train + split.val + split.test, "value")
"""


def start_builder(data_root: Path, folder: Path, seconds_per_batch: float) -> subprocess.Popen[str]:
    arguments = [str(data_root), str(folder), str(Path(__file__).parents[3]), str(seconds_per_batch)]
    return subprocess.Popen([sys.executable, "-c", BUILDER, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_do_the_work_once(tmp_path, tiny_textures, items) -> None:
    builders = [start_builder(tiny_textures, tmp_path / "features", 0.2) for _ in range(2)]
    batches = [line for builder in builders for line in builder.communicate()[0].split() if line != "ready"]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert sum(map(int, batches)) == len(items)


@pytest.mark.slow
def test_a_killed_build_loses_its_batch_alone(tmp_path, tiny_textures, backbone, items, image_root, encoded) -> None:
    folder = tmp_path / "features"
    builder = start_builder(tiny_textures, folder, 0.5)
    while len(list(folder.rglob("rows-*.json"))) < 3:
        assert builder.poll() is None
        time.sleep(0.05)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    committed = 4 * len(list(folder.rglob("rows-*.json")))
    assert committed < len(items)
    found = FeatureStore(folder).features(backbone, NAME, image_root, items, "value")
    assert sum(encoded) == len(items) - committed
    assert agrees(found, expected(backbone, image_root, items))


def stored(first: int, n: int = 6, local: bool = True) -> ImageFeatures:
    """Features that say where they come from: `first` + row."""
    numbers = first + torch.arange(n, dtype=torch.float32)
    positions = numbers[:, None, None].expand(n, 3, 2).half() if local else None
    return ImageFeatures(numbers[:, None].expand(n, 2), positions, torch.zeros(n, dtype=torch.int64))


PATHS = [f"{row}.jpg" for row in range(6)]
NAME_HASHES = torch.tensor([zlib.crc32(path.encode()) for path in PATHS])


class TestCachedTrainImages:
    ROWS = torch.tensor([[0, 5, 2], [3, 3, 1]])

    def test_one_view_is_the_same_in_every_epoch(self) -> None:
        images = CachedTrainImages([stored(0)], PATHS)
        for epoch in (0, 1, 7):
            global_features, local_features = images.batch(self.ROWS, epoch)
            assert global_features.shape == (2, 3, 2)
            assert local_features.shape == (2, 3, 3, 2)
            assert torch.equal(global_features[..., 0], self.ROWS.float())
            assert torch.equal(local_features[..., 0, 0], self.ROWS.half())

    def test_several_views_are_chosen_by_image_and_epoch(self) -> None:
        images = CachedTrainImages([stored(100 * view) for view in range(5)], PATHS)
        for epoch in range(6):
            global_features, local_features = images.batch(self.ROWS, epoch)
            numbers = 100 * view_of(NAME_HASHES[self.ROWS], epoch, 5) + self.ROWS
            assert torch.equal(global_features[..., 0].long(), numbers)
            assert torch.equal(local_features[..., 1, 1].long(), numbers)

    def test_an_images_view_does_not_depend_on_the_pool_it_is_in(self) -> None:
        in_pool = CachedTrainImages([stored(100 * view) for view in range(5)], PATHS)
        alone = CachedTrainImages(
            [stored(100 * view).rows(torch.tensor([5, 2])) for view in range(5)], ["5.jpg", "2.jpg"]
        )
        for epoch in range(6):
            one, _ = in_pool.batch(torch.tensor([[5, 2]]), epoch)
            other, _ = alone.batch(torch.tensor([[0, 1]]), epoch)
            assert torch.equal(one, other)

    def test_without_local_features(self) -> None:
        for views in ([stored(0, local=False)], [stored(0, local=False), stored(100, local=False)]):
            assert CachedTrainImages(views, PATHS).batch(self.ROWS, 0)[1] is None

    def test_views_are_spread_evenly_and_independently(self) -> None:
        rows = torch.arange(4000)
        counts = torch.stack([view_of(rows, epoch, 4).bincount(minlength=4) for epoch in range(8)])
        assert (counts - 1000).abs().max() < 130  # five standard deviations of random draws
        same = (view_of(rows, 3, 4) == view_of(rows, 4, 4)).float().mean()
        neighbours = (view_of(rows, 3, 4)[1:] == view_of(rows, 3, 4)[:-1]).float().mean()
        assert abs(same - 0.25) < 0.035
        assert abs(neighbours - 0.25) < 0.035


class TestOnlineTrainImages:
    ROWS = torch.tensor([[0, 5, 2], [2, 3, 0]])

    def test_batches_depend_on_rows_and_epoch_alone(self, backbone, image_root, items) -> None:
        images = OnlineTrainImages(backbone, image_root, items, "value")
        first, local = images.batch(self.ROWS, 4)
        assert first.shape == (2, 3, 8)
        assert local.shape == (2, 3, 4, 8)
        images.batch(self.ROWS, 5)
        alone, _ = OnlineTrainImages(backbone, image_root, items, "value").batch(self.ROWS[:1, 1:], 4)
        assert torch.allclose(alone, first[:1, 1:], atol=1e-6)
        assert not torch.allclose(images.batch(self.ROWS, 5)[0], first, atol=1e-3)

    def test_an_image_of_several_replicas_is_encoded_once(self, backbone, image_root, items, encoded) -> None:
        global_features, local_features = OnlineTrainImages(backbone, image_root, items, None).batch(self.ROWS, 0)
        assert encoded == [4]
        assert torch.equal(global_features[0, 0], global_features[1, 2])
        assert local_features is None

    def test_unreadable_images_are_found_before_training(self, backbone, image_root, items) -> None:
        (image_root / items[1].path).write_text("<html>")
        with pytest.raises(UserError, match=f"{items[1].path}: not a readable image"):
            OnlineTrainImages(backbone, image_root, items, None)
