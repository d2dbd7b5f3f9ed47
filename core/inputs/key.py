"""A cell's key: a hash of everything that determines its numbers.

That is the active settings with the recipe resolved, the images drawn and tested on, the weights, the descriptions,
and the version of the trainer's numerics. Places (data root, cache folder, device) are left out. Loads no torch.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from dualpt.core.cell import Cell
from dualpt.core.clip.weights import find_weights
from dualpt.core.config import Protocol, Setting
from dualpt.core.data.digests import shared_index
from dualpt.core.data.protocols import CellData
from dualpt.core.data.splits import Item
from dualpt.core.descriptions.reading import bank_fingerprint
from dualpt.core.files.fingerprint import fingerprint, rows_fingerprint
from dualpt.core.inputs.reading import CellInputs, Dataset, draw_once
from dualpt.core.prompts.init_path import init_identity
from dualpt.core.recipes import NUMERICS_VERSION

HASHED_BY_CONTENT = {"backbone.pretrained", "descriptions.per_class"}
"""Keys whose effect is hashed directly: the weights and the sentences."""

RESOLVED_BY_RECIPE = {"optim.recipe", "optim.epoch_scale"}
"""Keys that act only through learning rate, batch size and epochs, which are hashed themselves."""

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
"""How images are prepared for the weights, as these say."""


def cell_key(cell: Cell) -> str:
    """The key of a cell (see `key_of`)."""
    return key_of(CellInputs(cell))


def key_of(inputs: CellInputs) -> str:
    """The key of a cell whose datasets have been found.

    Raises:
        UserError: a split, bank or weights file that cannot be read.
    """
    cell, setting = inputs.cell, inputs.cell.setting
    settings = {key: value for key, value in setting.active().items() if key not in HASHED_BY_CONTENT}
    if setting.learns_prompts:
        settings["prompt.init"] = init_identity(setting.prompt.init)
        settings = {key: value for key, value in settings.items() if key not in RESOLVED_BY_RECIPE}
        settings |= {
            "optim.learning_rate": inputs.recipe.learning_rate,
            "optim.batch_size": inputs.recipe.batch_size,
            "optim.epochs": inputs.recipe.epochs,
        }
    described = {name: bank_fingerprint(inputs.sentences(name)) for name in inputs.described}
    weights = find_weights(setting.backbone.name, setting.backbone.pretrained)
    datasets, protocol, shots, seed = inputs.draw
    val = cell.selection == "validation"
    identity = {
        "numerics": NUMERICS_VERSION,
        "settings": settings,
        "weights": [weights.fingerprint, {name: weights.preprocess.get(name) for name in PREPROCESSING}],
        "dataset": _class_texts(inputs.source),
        "cell": [protocol, shots, seed],
        "images": [_trained_pixels(datasets, protocol, shots, seed, val), _tested_pixels(datasets, protocol)],
        "descriptions": described.get(cell.dataset),
    }
    if setting.fits_features:
        identity["reads"] = _reads(setting)
    if not val:
        identity["selection"] = cell.selection
    if cell.targets:
        targets = (inputs.datasets[name] for name in cell.targets)
        identity["targets"] = [[*_class_texts(target), described.get(target.name)] for target in targets]
    return fingerprint(identity)


def _reads(setting: Setting) -> list[object]:
    """How a method on frozen features reads images, and which revision of its code does."""
    reads = setting.reads
    return [setting.definition.definition.revision, reads.views, reads.min_crop_area, reads.norms, reads.hidden]


def _class_texts(dataset: Dataset) -> list[object]:
    """What prompts are made of."""
    return [dataset.name, dataset.info.template, dataset.split.class_names]


@cache
def _trained_pixels(datasets: tuple[Dataset, ...], protocol: Protocol, shots: int, seed: int, val: bool) -> str:
    """Fingerprint of the training images and, with `val`, of the validation images: labels and content of files."""
    data = draw_once(datasets, protocol, shots, seed)
    return _pixels(datasets, data, {"train": data.train, "val": data.val} if val else {"train": data.train})


@cache
def _tested_pixels(datasets: tuple[Dataset, ...], protocol: Protocol) -> str:
    """The same for the test images. They are many and the same for every draw, so they are read once."""
    data = draw_once(datasets, protocol, 0, 0)
    return _pixels(datasets, data, data.tests)


def _pixels(datasets: tuple[Dataset, ...], data: CellData, parts: Mapping[str, Sequence[Item]]) -> str:
    index = shared_index()
    image_roots = {dataset.name: dataset.image_root for dataset in datasets}
    return rows_fingerprint(
        (part, item.label, digest)
        for part, items in parts.items()
        for item, digest in zip(
            items,
            index.digests(image_roots[data.datasets.get(part, datasets[0].name)], [item.path for item in items]),
            strict=True,
        )
    )
