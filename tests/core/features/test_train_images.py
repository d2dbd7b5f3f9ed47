"""Training batches are reproducible: they depend on image and epoch alone.

Shapes: R replicas, B images, P positions, D joint width.
"""

import zlib

import pytest
import torch

from dualpt.core.arrays import ImageFeatures, StoredRows
from dualpt.core.data.images import View
from dualpt.core.errors import UserError
from dualpt.core.features import folder as feature_folder
from dualpt.core.features.train_images import CachedTrainImages, OnlineTrainImages, view_of
from tests.core.features.tiny import NAME, agrees, expected


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


class TestRowsOnDisk:
    @pytest.fixture(autouse=True)
    def _nothing_fits_in_memory(self, monkeypatch) -> None:
        monkeypatch.setattr(feature_folder, "IN_MEMORY_BYTES", 0)

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
        views = [filled.features(backbone, NAME, image_root, shuffled, "value", view) for view in (None, View(0))]
        whole = [ImageFeatures(v.global_features, v.local_features[:], v.labels) for v in views]
        rows, paths = torch.tensor([[0, 5, 2], [3, 3, 1]]), [item.path for item in shuffled]
        for count in (1, 2):
            one = CachedTrainImages(views[:count], paths).batch(rows, 4)
            other = CachedTrainImages(whole[:count], paths).batch(rows, 4)
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
