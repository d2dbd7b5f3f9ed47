"""Draws the images of one class of the mini grid.

Every image has its own generator, seeded by integers, so the grid is the same whichever process draws which image.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dualpt.core.mini.attributes import resample
from dualpt.core.mini.datasets import IMAGES_PER_CLASS, MINI_DATASETS, RECIPES, folder_name
from dualpt.core.mini.rendering import Pixels, render
from dualpt.core.mini.world import MiniClass, build_world

GRID_SEED = 11
VARIATION = 0.06
"""How often an attribute of a class differs in one of its images."""


def render_image(dataset: str, label: int, split: str, number: int) -> Pixels:
    """One image of the grid, (S, S, 3) uint8; `number` counts within the class and split."""
    split_index = list(IMAGES_PER_CLASS).index(split)
    rng = np.random.default_rng([GRID_SEED, MINI_DATASETS.index(dataset), label, split_index, number])
    item = build_world().classes[dataset][label]
    return render(item.kind, resample(item.kind, item.attributes, VARIATION, rng), RECIPES[dataset].domain, rng)


def image_paths(item: MiniClass) -> Iterator[tuple[str, int, str]]:
    """(split, number, path under the image root) of every image of a class, in order."""
    file_number = 0
    for split, n_images in IMAGES_PER_CLASS.items():
        for number in range(n_images):
            yield split, number, f"{item.name.replace(' ', '_')}/{file_number:04d}.png"
            file_number += 1


def draw_class(root: Path, dataset: str, label: int) -> str:
    """Draw all images of one class into the dataset's hidden folder, and return the hash of all their pixels."""
    item = build_world().classes[dataset][label]
    images = partial_folder(root, dataset) / "images"
    (images / item.name.replace(" ", "_")).mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for split, number, path in image_paths(item):
        pixels = render_image(dataset, label, split, number)
        digest.update(pixels.tobytes())
        Image.fromarray(pixels).save(images / path)
    return digest.hexdigest()


def partial_folder(root: Path, dataset: str) -> Path:
    """Where a dataset is drawn until it is complete."""
    return root / f".{folder_name(dataset)}.partial"
