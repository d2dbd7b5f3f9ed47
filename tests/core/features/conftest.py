"""A tiny backbone, the images of a tiny dataset, and stores of their features."""

from pathlib import Path

import pytest
from torch import Tensor

from dualpt.core.clip.backbone import Backbone
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import Item
from dualpt.core.features import encoding
from dualpt.core.features.store import FeatureStore
from tests.core.features.tiny import NAME, TEXTURES, tiny_backbone


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
    """Sizes of the batches that were encoded: at most 8 images, each in a file of its own."""
    sizes: list[int] = []
    encode = Backbone.encode

    def counted(self: Backbone, images: Tensor, local: object) -> object:
        sizes.append(len(images))
        return encode(self, images, local)  # type: ignore[arg-type]

    monkeypatch.setattr(Backbone, "encode", counted)
    monkeypatch.setattr(encoding, "BATCH_IMAGES", 8)
    monkeypatch.setattr(encoding, "FILE_BYTES", 0)
    return sizes


@pytest.fixture
def filled(
    store: FeatureStore, backbone: Backbone, image_root: Path, items: tuple[Item, ...], encoded: list[int]
) -> FeatureStore:
    """Features of all images of the dataset, in files of eight; `encoded` is empty again."""
    store.features(backbone, NAME, image_root, items, "value")
    encoded.clear()
    return store
