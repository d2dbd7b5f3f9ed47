"""A data root with all eleven layouts and ImageNet's four variants, in miniature: a few classes of tiny images each."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dualpt.core.data.catalog import REAL_GRID, DatasetInfo, dataset_info

TRAIN, VAL, TEST = 4, 2, 3
"""Images of each class."""
WNIDS = {"n01440764": "tench", "n03773504": "missile", "n04008634": "missile", "n04356056": "sunglasses"}
"""ImageNet's classes here; two share a name, as two pairs of the real ones do."""
PART_OF_WNIDS = ("n01440764", "n04356056")
"""Those of -A and -R."""
CLASS_NAMES = {
    "Caltech101": ("accordion", "airplanes"),
    "OxfordPets": ("abyssinian", "american_bulldog"),
    "StanfordCars": ("2000 AM General Hummer SUV", "2012 Acura RL Sedan"),
    "OxfordFlowers": ("pink primrose", "hard-leaved pocket orchid"),
    "Food101": ("apple_pie", "baby_back_ribs"),
    "FGVCAircraft": ("707-320", "Cessna 172"),
    "SUN397": ("abbey", "airplane_cabin"),
    "DescribableTextures": ("banded", "polka-dotted"),
    "EuroSAT": ("Annual Crop Land", "Forest"),
    "UCF101": ("Apply_Eye_Makeup", "Archery"),
}


def build_miniature(root: Path) -> None:
    """Write the whole data root, description banks included."""
    pixels = np.random.default_rng(0)
    for name in REAL_GRID:
        info = dataset_info(name)
        if info.layout == "split file":
            _with_split_file(root, info, pixels)
    _aircraft(root, pixels)
    _imagenet(root, pixels)
    for name, names in {**CLASS_NAMES, "ImageNet": tuple(WNIDS.values())}.items():
        bank = {each: [f"A photo of {each}.", f"It looks like {each}."] for each in names}
        (root / "descriptions").mkdir(exist_ok=True)
        (root / "descriptions" / f"{name}.json").write_text(json.dumps(bank))


def _image(path: Path, pixels: np.random.Generator, label: int) -> None:
    """Noise around a colour of the class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = pixels.integers(0, 90, (18, 22, 3))
    colour = np.array([label * 53 % 160, label * 97 % 160, 80])
    Image.fromarray((noise + colour).astype(np.uint8)).save(path)


def _with_split_file(root: Path, info: DatasetInfo, pixels: np.random.Generator) -> None:
    parts: dict[str, list[list[object]]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(CLASS_NAMES[info.name]):
        for number, part in enumerate(["train"] * TRAIN + ["val"] * VAL + ["test"] * TEST):
            folder = {"StanfordCars": f"cars_{'test' if part == 'test' else 'train'}"}.get(info.name, name)
            path = f"{folder}/{label}_{number:04d}.jpg"
            _image(info.image_root(root) / path, pixels, label)
            parts[part].append([path, label, name])
    (root / info.folder / info.split_file).write_text(json.dumps(parts))


def _aircraft(root: Path, pixels: np.random.Generator) -> None:
    info = dataset_info("FGVCAircraft")
    names = CLASS_NAMES[info.name]
    for offset, (part, count) in enumerate((("train", TRAIN), ("val", VAL), ("test", TEST))):
        lines = []
        for label, name in enumerate(names):
            for number in range(count):
                image = f"{offset}{label}{number:05d}"
                _image(info.image_root(root) / f"{image}.jpg", pixels, label)
                lines.append(f"{image} {name}")
        (root / info.folder / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")
    (root / info.folder / "variants.txt").write_text("\n".join(names) + "\n")


def _imagenet(root: Path, pixels: np.random.Generator) -> None:
    every = tuple(WNIDS)
    _wnid_folders(root / "imagenet/images/train", every, every, TRAIN, pixels)
    _wnid_folders(root / "imagenet/images/val", every, every, TEST, pixels)
    _wnid_folders(root / "imagenet-sketch/images", every, every, TEST, pixels)
    _wnid_folders(root / "imagenet-adversarial/imagenet-a", PART_OF_WNIDS, PART_OF_WNIDS, TEST, pixels)
    _wnid_folders(root / "imagenet-rendition/imagenet-r", PART_OF_WNIDS, PART_OF_WNIDS, TEST, pixels)
    v2 = root / "imagenetv2/imagenetv2-matched-frequency-format-val"
    _wnid_folders(v2, every, [str(label) for label in range(len(every))], TEST, pixels)
    (root / "imagenet-adversarial/imagenet-a/README.txt").write_text("as in the archive\n")
    lines = "".join(f"{wnid} {name}\n" for wnid, name in WNIDS.items())
    for folder in ("imagenet", "imagenetv2", "imagenet-sketch", "imagenet-adversarial"):  # -R falls back to ImageNet's
        (root / folder / "classnames.txt").write_text(lines)


def _wnid_folders(
    images: Path, wnids: Sequence[str], folders: Sequence[str], count: int, pixels: np.random.Generator
) -> None:
    for wnid, folder in zip(wnids, folders, strict=True):
        for number in range(count):
            _image(images / folder / f"{wnid}_{number}.JPEG", pixels, list(WNIDS).index(wnid))
