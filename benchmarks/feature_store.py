"""The feature store against a plain loop, side by side: the same photographs, the same frozen tower, the same features.

    python -m benchmarks.feature_store [--images 256] [--backbone ViT-B-32] [--precision fp32] [--repeats 3]
    python -m benchmarks.feature_store --rounding

The plain loop opens, transforms and encodes one batch after the other, and keeps nothing. The store decodes ahead,
encodes, checks for what is not finite, checksums and writes to disk (with fsync). Photographs are generated: JPEGs of
500 x 375 pixels with some texture, so decoding costs what it costs for real ones. Both read a warm page cache.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from dualpt.core.clip.backbone import Backbone, load_backbone
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.images import DECODERS, decode
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import Item
from dualpt.core.descriptions.reading import encode_template
from dualpt.core.features.encoding import BATCH_IMAGES
from dualpt.core.features.store import FeatureStore
from dualpt.core.files.locations import cache_root
from dualpt.core.mini.grid import ensure_mini_grid
from dualpt.sweeps.word_table import WordTable

Result = TypeVar("Result")

PHOTO_SIZE = (500, 375)
EQUAL = 2e-3
"""Largest difference allowed between stored and looped features; half precision rounds at 5e-4."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--backbone", default="ViT-B-32")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounding", action="store_true", help="what half precision changes, on the mini grid")
    arguments = parser.parse_args()
    if arguments.rounding:
        print(json.dumps(rounding()))
        return
    found = measure(arguments.images, arguments.backbone, arguments.precision, arguments.repeats)
    print(json.dumps(found)) if arguments.json else show(found, Console())


def measure(n_images: int, name: str, precision: str, repeats: int) -> dict[str, float | int | str]:
    """Medians over alternating repeats; each repeat fills a new store."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone = load_backbone(name, "random", precision, device)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        items = photographs(root / "images", n_images)
        backbone.encode_images(torch.zeros(2, 3, *backbone.image_size), "value")  # warm up
        loops, builds, reads = [], [], []
        for repeat in range(repeats):
            store = root / f"store-{repeat}"
            looped, seconds = timed(plain_loop, backbone, root / "images", items)
            loops.append(seconds)
            _, seconds = timed(build, store, backbone, root / "images", items)
            builds.append(seconds)
            stored, seconds = timed(read_all, store, backbone, root / "images", items)
            reads.append(seconds)
            difference = float((stored.float() - looped).abs().max())
            if difference > EQUAL:
                raise AssertionError(f"stored and looped features differ by {difference}")
        bytes_stored = sum(path.stat().st_size for path in store.rglob("*.safetensors"))
    looping, building, reading = map(statistics.median, (loops, builds, reads))
    ratios = [plain / stored for plain, stored in zip(loops, builds, strict=True)]
    return {
        "backbone": name,
        "precision": precision,
        "device": device,
        "images": n_images,
        "repeats": repeats,
        "cores": os.cpu_count() or 1,
        "torch_threads": torch.get_num_threads(),
        "decoding_threads": DECODERS,
        "torch": version("torch"),
        "loop_images_per_second": n_images / looping,
        "build_images_per_second": n_images / building,
        "build_megabytes_per_second": bytes_stored / 1e6 / building,
        "read_images_per_second": n_images / reading,
        "read_megabytes_per_second": bytes_stored / 1e6 / reading,
        "build_over_loop": statistics.median(ratios),
        "build_over_loop_spread": max(ratios) - min(ratios),
        "largest_difference": difference,
    }


def photographs(folder: Path, n_images: int) -> list[Item]:
    """JPEGs of smooth random fields with noise: about as many bytes as photographs of their size."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    items = []
    for number in range(n_images):
        coarse = Image.fromarray(generator.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(PHOTO_SIZE, Image.Resampling.BICUBIC), dtype=np.int16)
        pixels = smooth + generator.integers(-20, 21, smooth.shape, dtype=np.int16)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=90)
        items.append(Item(f"{number:05d}.jpg", 0, "photo"))
    return items


def plain_loop(backbone: Backbone, folder: Path, items: list[Item]) -> torch.Tensor:
    """Open, transform, encode, one batch after the other; local features (n, P, D) in memory."""
    features = []
    for start in range(0, len(items), BATCH_IMAGES):
        batch = items[start : start + BATCH_IMAGES]
        pixels = torch.stack([backbone.preprocess.plain(decode(folder / item.path)) for item in batch])
        _, local = backbone.encode_images(pixels, "value")
        assert local is not None
        features.append(local.cpu())
    return torch.cat(features)


def build(store: Path, backbone: Backbone, folder: Path, items: list[Item]) -> None:
    FeatureStore(store).features(backbone, "bench", folder, items, "value")


def read_all(store: Path, backbone: Backbone, folder: Path, items: list[Item]) -> torch.Tensor:
    """Every stored local feature, opened again and read chunk by chunk as evaluation does."""
    found = FeatureStore(store).features(backbone, "bench", folder, items, "value")
    chunks = [chunk.local_features.clone() for chunk in found.chunks(BATCH_IMAGES) if chunk.local_features is not None]
    return torch.cat(chunks)


def timed(work: Callable[..., Result], *arguments: object) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - start


def rounding(datasets: tuple[str, ...] = ("mini-pets", "mini-flowers", "mini-textures")) -> dict[str, float | int]:
    """What half precision changes in local features: similarities to class templates, and top-4 local predictions."""
    backbone, cache = load_backbone("mini-clip"), cache_root()
    tower, store = backbone.text, FeatureStore(cache / "features")
    root = ensure_mini_grid(cache / "mini-grid", datasets)
    images, changed, largest = 0, 0, 0.0
    for dataset in datasets:
        info = dataset_info(dataset)
        split = read_split(info, root)
        found = store.features(backbone, dataset, info.image_root(root), split.test, "value")
        assert found.local_features is not None
        classes = encode_template(tower, info.template, split.class_names)
        full = found.local_features[:] @ classes.T  # (n, P, C)
        half = found.local_features[:].half().float() @ classes.T
        largest = max(largest, float((full - half).abs().max()))
        labels = [one.topk(4, dim=1).values.mean(1).argmax(-1) for one in (full, half)]
        changed += int((labels[0] != labels[1]).sum())
        images += len(split.test)
    return {"images": images, "changed_predictions": changed, "largest_difference": largest}


def show(found: dict[str, float | int | str], console: Console) -> None:
    table = WordTable("", "images/s", "MB/s")
    table.add_row("plain loop", f"{found['loop_images_per_second']:.1f}", "–")
    for what in ("build", "read"):
        images, megabytes = (found[f"{what}_{unit}_per_second"] for unit in ("images", "megabytes"))
        table.add_row(f"store, {what}", f"{images:,.1f}", f"{megabytes:,.1f}")
    console.print(
        f"{found['backbone']} {found['precision']} on {found['device']}, {found['images']} JPEGs, "
        f"{found['cores']} cores, torch threads {found['torch_threads']}, decoding threads {found['decoding_threads']}",
        highlight=False,
    )
    table.show(console)
    console.print(
        f"  build over loop: {found['build_over_loop']:.2f} (spread {found['build_over_loop_spread']:.2f} over "
        f"{found['repeats']} repeats); largest difference {found['largest_difference']:.1e}",
        highlight=False,
    )


if __name__ == "__main__":
    main()
