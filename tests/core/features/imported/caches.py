"""Folders of cached features as other people's scripts write them: Gaussian clusters with mini-tiles' numbers."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.splits import Item, Split, make_split
from dualpt.core.features.imported.import_parts import Declared
from dualpt.core.features.imported.make_import import MadeImport, make_import, write_import
from dualpt.core.inputs.reading import find_dataset
from dualpt.core.running.frozen_parts import FrozenParts

DATASET, BACKBONE, WIDTH, CLASSES = "mini-tiles", "toy", 12, 8
COUNTS = {"train": 20, "val": 8, "test": 40}
"""Images per class in mini-tiles."""


@dataclass(frozen=True)
class Part:
    raw: Tensor
    """(n, D)"""
    labels: Tensor
    """(n,)"""

    @property
    def rows(self) -> Tensor:
        return normalize(self.raw, dim=-1)


def part(per_class: int, seed: int, noise: float = 0.6) -> Part:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    noises = torch.randn(len(labels), WIDTH, generator=generator)
    return Part(3 * (centres[labels] + noise * noises), labels)


def crops_of(keys: Part, views: int) -> Tensor:
    """(V, n, D), raw, whose mean is the keys'."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(views, *keys.raw.shape, generator=generator)
    return keys.raw + 0.3 * (noise - noise.mean(0))


def write_tip_cache(
    folder: Path, shots: tuple[int, ...] = (16,), text: bool = False, views: int = 0, ending: str = ""
) -> Path:
    """As Tip-Adapter, APE and TIMO do; `ending` is TIMO's `_unnormed` for raw rows."""
    folder.mkdir(parents=True, exist_ok=True)

    def save(name: str, tensor: Tensor) -> None:
        torch.save(tensor, folder / f"{name}.pt")

    def kept(raw: Tensor) -> Tensor:
        return (raw if ending else normalize(raw, dim=-1)).half()

    for k in shots:
        keys = part(k, seed=k)
        save(f"keys_{k}shots{ending}", kept(keys.raw).mT)
        save(f"values_{k}shots{ending}", one_hot(keys.labels).half())
        if views:
            save(f"{k}_vecs_f{ending}", kept(crops_of(keys, views)).flatten(0, 1))
            save(f"{k}_labels_f{ending}", keys.labels.repeat(views))
    for name in ("val", "test"):
        found = part(COUNTS[name], seed=len(name) + 100)
        save(f"{name}_f{ending}", kept(found.raw))
        save(f"{name}_l{ending}", found.labels)
    if text:
        save("text_weights_t", text_features().mT.half())
    return folder


def write_mini_clip_cache(folder: Path, dataset: str) -> Path:
    """The mini CLIP's own features of all images of a mini dataset, without text."""
    folder.mkdir(parents=True)
    parts, found = FrozenParts(), find_dataset(Setting(), dataset)
    parts.prepare_data([Cell(Setting(), dataset, "few-shot", 1, 1)])
    arrays = {}
    for name in COUNTS:
        one = parts.features(Setting(), found, getattr(found.split, name))
        arrays |= {f"{name}_features": one.global_features, f"{name}_labels": one.labels}
    torch.save(arrays, folder / "features.pt")
    return folder


def text_features() -> Tensor:
    """(C, D), normalised and not quite the classes' centres."""
    return normalize(part(1, seed=3, noise=1.0).raw, dim=-1)


def split_of(order: list[int] | None = None) -> Split:
    """A split with the numbers of mini-tiles, its classes in some order."""
    labels = list(range(CLASSES)) if order is None else order
    parts = {
        name: [Item(f"{name}-{c}-{i}.png", c, f"kind {c}") for c in labels for i in range(count)]
        for name, count in COUNTS.items()
    }
    return make_split(parts, Path("split.json"))


def declared(**more: object) -> Declared:
    return Declared(dataset_info(DATASET), BACKBONE, **more)  # type: ignore[arg-type]


def made(folder: Path, **more: object) -> MadeImport:
    return make_import(folder, declared(**more))


def imports(folder: Path, **how: object) -> Path:
    """A folder of imports with mini-tiles in it."""
    write_import(made(write_tip_cache(folder / "cache", **how)), folder / "imports")  # type: ignore[arg-type]
    return folder / "imports"
