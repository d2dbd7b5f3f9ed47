"""How long to train and how fast, where a setting leaves it open."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

RecipeName = Literal["coop", "kgcoop", "mini"]

NUMERICS_VERSION = 3
"""Part of every cell's key; raise it when a change to `core` moves the numbers, so that stored results are never mixed
with new ones. It stands here, and not in the trainer, because keys are computed without torch."""

LETTERS_NUMERICS = 2
"""The version of cells in which no prompt's class name ends in punctuation: version 3 moved the others alone, since it
tokenises a name and the full stop behind it as one text."""

NUMERIC_PACKAGES = ("dualpt", "torch", "torchvision", "open_clip_torch")
"""Packages whose versions can move a number."""

COOP_LEARNING_RATE = 0.002
COOP_BATCH_SIZE = 32
COOP_EPOCHS = {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}
"""Epochs by shots; other numbers of shots take the epochs of the next listed one."""
COOP_IMAGENET = "ImageNet"
COOP_IMAGENET_EPOCHS = 50

KGCOOP_LEARNING_RATE = 0.002
KGCOOP_BATCH_SIZE = 128
KGCOOP_EPOCHS = 100
"""At every number of shots and on ImageNet too (htyao89/KgCoOp@c43ccc3: vit_b16_ep100_ctxv1.yaml)."""

MINI_LEARNING_RATE = 0.002
MINI_BATCH_SIZE = 32
MINI_STEPS = {1: 60, 2: 75, 4: 90, 8: 120, 16: 160}
"""Steps by shots, as in `COOP_EPOCHS`; the mini recipe trains as many whole epochs as reach them."""


def global_weight_on(dataset: str, weight: float | None) -> float:
    """The weight of global logits on a dataset. None is PLOT's rule (CHENGY12/PLOT@728539f, plot.py): they are added on
    ImageNet alone."""
    return weight if weight is not None else float(dataset == COOP_IMAGENET)


@dataclass(frozen=True)
class Recipe:
    learning_rate: float
    """After the warm-up epoch."""
    batch_size: int
    epochs: int


def resolve_recipe(
    recipe: RecipeName,
    *,
    dataset: str,
    shots: int,
    n_images: int,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    epoch_scale: float = 1.0,
) -> Recipe:
    """Fill what a setting leaves open (None) from `recipe`.

    Args:
        dataset: Registry name; CoOp trains ImageNet for 50 epochs whatever the shots.
        shots: Training images per class that were asked for.
        n_images: Training images that were drawn.
        epoch_scale: Multiplies the recipe's epochs (rounded up); those that are set stay.
    """
    match recipe:
        case "coop":
            learning_rate, batch_size = learning_rate or COOP_LEARNING_RATE, batch_size or COOP_BATCH_SIZE
            whole = COOP_IMAGENET_EPOCHS if dataset == COOP_IMAGENET else _by_shots(COOP_EPOCHS, shots)
        case "kgcoop":
            learning_rate, batch_size = learning_rate or KGCOOP_LEARNING_RATE, batch_size or KGCOOP_BATCH_SIZE
            whole = KGCOOP_EPOCHS
        case "mini":
            learning_rate, batch_size = learning_rate or MINI_LEARNING_RATE, batch_size or MINI_BATCH_SIZE
            whole = math.ceil(_by_shots(MINI_STEPS, shots) / steps_per_epoch(n_images, batch_size))
        case _:
            assert_never(recipe)
    return Recipe(learning_rate, batch_size, epochs or math.ceil(whole * epoch_scale))


def steps_per_epoch(n_images: int, batch_size: int) -> int:
    """Whole batches; the partial one is dropped, unless it is all there is."""
    return max(n_images // batch_size, 1)


def _by_shots(table: Mapping[int, int], shots: int) -> int:
    """The entry of `shots`, or of the next listed number of shots, or the last."""
    listed = [known for known in table if known >= shots]
    return table[min(listed, default=max(table))]
