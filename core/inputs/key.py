"""A cell's key: a hash of everything that determines its numbers.

That is the active settings with the recipe resolved, the images drawn and tested on, the weights, the descriptions,
and the version of the trainer's numerics. Places (data root, cache folder, device) are left out. Loads no torch.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import cast

from dualpt.core.cell import Cell
from dualpt.core.clip.weights import find_weights
from dualpt.core.config.activity import active_values
from dualpt.core.config.sections import Protocol, Value
from dualpt.core.data.digests import shared_index
from dualpt.core.data.protocols import CellData
from dualpt.core.data.splits import Item
from dualpt.core.descriptions.names import ends_in_punctuation
from dualpt.core.descriptions.reading import bank_fingerprint
from dualpt.core.files.fingerprint import fingerprint, rows_fingerprint
from dualpt.core.inputs.import_limits import crops_read
from dualpt.core.inputs.reading import CellInputs, Dataset, draw_once
from dualpt.core.prompts.init_path import init_identity
from dualpt.core.recipes import LETTERS_NUMERICS, NUMERICS_VERSION, global_weight_on

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
    settings = {key: value for key, value in active_values(setting).items() if key not in HASHED_BY_CONTENT}
    if setting.learns_prompts:
        settings["prompt.init"] = init_identity(setting.prompt.init)
        settings = {key: value for key, value in settings.items() if key not in RESOLVED_BY_RECIPE}
        settings |= _global_weights(settings, cell.dataset)
        settings |= {
            "optim.learning_rate": inputs.recipe.learning_rate,
            "optim.batch_size": inputs.recipe.batch_size,
            "optim.epochs": inputs.recipe.epochs,
        }
        if inputs.source.is_imported:  # of which more views than crops are no other cell
            settings["data.views"] = max(1, crops_read(setting, inputs.source.imported))
    described = {name: bank_fingerprint(inputs.sentences(name)) for name in inputs.described}
    datasets, protocol, shots, seed = inputs.draw
    val = cell.selection == "validation"
    identity = {
        "numerics": numerics_of(inputs),
        "settings": settings,
        "weights": _weights(inputs),
        "dataset": _class_texts(inputs.source),
        "cell": [protocol, shots, seed],
        "images": [_trained_pixels(datasets, protocol, shots, seed, val), _tested_pixels(datasets, protocol)],
        "descriptions": described.get(cell.dataset),
    }
    if setting.fits_features:
        identity["reads"] = _reads(inputs)
    if not val:
        identity["selection"] = cell.selection
    if cell.targets:
        targets = (inputs.datasets[name] for name in cell.targets)
        identity["targets"] = [[*_class_texts(target), described.get(target.name)] for target in targets]
    return fingerprint(identity)


def numerics_of(inputs: CellInputs) -> int:
    """The version of the numerics in which the cell's numbers last moved."""
    if not inputs.cell.setting.learns_prompts:
        return LETTERS_NUMERICS
    names = (name for dataset in inputs.datasets.values() for name in dataset.split.class_names)
    return NUMERICS_VERSION if any(map(ends_in_punctuation, names)) else LETTERS_NUMERICS


def _global_weights(settings: Mapping[str, Value], dataset: str) -> dict[str, float]:
    """The weights of global logits, where they are part of the key, as they are on the dataset."""
    keys = ("alignment.global_weight", "inference.global_weight")
    return {key: global_weight_on(dataset, cast("float | None", settings[key])) for key in keys if key in settings}


def _weights(inputs: CellInputs) -> list[object]:
    """What features come from: weights and how images are prepared for them, or what was imported, with its scale."""
    setting, source = inputs.cell.setting, inputs.source
    if source.is_imported:
        return ["imported", source.imported.fingerprint]
    weights = find_weights(setting.backbone.name, setting.backbone.pretrained)
    return [weights.fingerprint, {name: weights.preprocess.get(name) for name in PREPROCESSING}]


def _reads(inputs: CellInputs) -> list[object]:
    """How a method on frozen features reads images, and which revision of its code does."""
    setting = inputs.cell.setting
    reads = setting.reads
    if inputs.source.is_imported:
        return [setting.definition.definition.revision, crops_read(setting, inputs.source.imported), reads.norms]
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
    by_name = {dataset.name: dataset for dataset in datasets}
    return rows_fingerprint(
        (part, item.label, digest)
        for part, items in parts.items()
        for item, digest in zip(items, _digests(by_name[data.datasets.get(part, datasets[0].name)], items), strict=True)
    )


def _digests(dataset: Dataset, items: Sequence[Item]) -> list[str]:
    """What images hold: a digest of each file, or the row of an import."""
    paths = [item.path for item in items]
    if dataset.is_imported:
        return [f"{dataset.imported.fingerprint} {path}" for path in paths]
    return shared_index().digests(dataset.image_root, paths)
