"""Fixtures of several test files: a private cache, and a tiny dataset on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder in place of the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DUALPT_CACHE", str(folder))
    return folder


@pytest.fixture
def tiny_textures(tmp_path: Path) -> Path:
    """A data root with DescribableTextures of three classes: 6 train, 2 val and 4 test images each, 24 x 20 pixels."""
    root = tmp_path / "data"
    images = root / "dtd" / "images"
    generator = np.random.default_rng(0)
    split: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(("banded", "polka_dotted", "woven")):
        (images / name).mkdir(parents=True)
        for index, part in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 4):
            pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / name / f"{name}_{index:04d}.png")
            split[part].append([f"{name}/{name}_{index:04d}.png", label, name])
    (root / "dtd" / "split_zhou_DescribableTextures.json").write_text(json.dumps(split))
    return root
