"""What a cell reads, found by name: the split, the drawn sample, the description bank; and the cell's key. No torch.

A cell's key is a hash of everything that determines its numbers: active settings with the recipe resolved, the images
drawn and judged, the weights, the descriptions, and the version of the trainer's numerics. Places (data root, cache
folder, device) are no part of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.cells import Cell
from core.config import Setting, uses_descriptions
from core.data.catalog import DatasetInfo, dataset_info
from core.data.digests import DigestIndex
from core.data.readers import read_split
from core.data.sampling import base_to_new, draw_few_shot, n_base_classes
from core.data.splits import Item, Split, check_files
from core.descriptions import bank_fingerprint, read_bank
from core.errors import UserError
from core.fingerprint import fingerprint, rows_fingerprint
from core.locations import cache_root
from core.mini.grid import MANIFEST_NAME, ensure_mini_grid
from core.recipes import NUMERICS_VERSION, Recipe, resolve_recipe
from core.weights import find_weights

HASHED_BY_CONTENT = {"backbone.pretrained", "descriptions.per_class"}
"""Keys that name what the cell key hashes itself: weights and sentences."""

RESOLVED_BY_RECIPE = {"optim.recipe", "optim.epoch_scale"}
"""Keys that act through learning rate, batch size and epochs alone, which stand in the cell key themselves."""

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
"""What weights say of how images are prepared for them."""

EMBEDDED_BANKS = Path(__file__).parent / "data" / "banks"
"""Description banks that ship with the project."""


@dataclass(frozen=True)
class CellData:
    """The images and classes of one cell, in the labels of its own protocol."""

    train: tuple[Item, ...]
    val: tuple[Item, ...]
    tests: Mapping[str, tuple[Item, ...]]
    """Test set name (`test`; `base` and `new`) -> images, labelled from 0."""
    classes: Mapping[str, slice]
    """`train` and each test set -> its classes, as a slice of the split's class names."""
    sample_fingerprint: str | None
    """SHA-256 of the few-shot draw; None where nothing is drawn."""


def mini_root() -> Path:
    """Where the mini grid is written: a cache, since it is drawn again when it is missing."""
    return cache_root() / "mini-grid"


def data_root(setting: Setting, info: DatasetInfo) -> Path:
    """The folder that holds the dataset.

    Raises:
        UserError: a real dataset without a data root.
    """
    given = None if setting.data.root is None else Path(setting.data.root).expanduser()
    if info.kind == "mini":  # a folder of photographs is no place to draw a mini grid into
        return given if given is not None and (given / MANIFEST_NAME).is_file() else mini_root()
    if given is not None:
        return given
    raise UserError(
        f"data.root is not set: {info.name} is read from disk; give data.root=FOLDER that holds '{info.folder}/'"
    )


def mini_datasets_of(cells: Iterable[Cell]) -> dict[Path, list[str]]:
    """The mini datasets that the cells need, by the root they are to lie in."""
    wanted: dict[Path, dict[str, None]] = {}
    for cell in cells:
        info = dataset_info(cell.dataset)
        if info.kind == "mini":
            wanted.setdefault(data_root(cell.setting, info), {})[info.name] = None
    return {root: list(names) for root, names in wanted.items()}


def split_of(setting: Setting, dataset: str) -> Split:
    """The dataset's split, read once per process; a mini dataset that is not on disk yet is drawn first."""
    info = dataset_info(dataset)
    root = data_root(setting, info)
    return _read_once(dataset, root)


@lru_cache(maxsize=64)
def _read_once(dataset: str, root: Path) -> Split:
    info = dataset_info(dataset)
    if info.kind == "mini":
        ensure_mini_grid(root, [dataset])
    return read_split(info, root)


def data_of(cell: Cell) -> CellData:
    """Draw the cell's sample and divide it by its protocol."""
    root = data_root(cell.setting, dataset_info(cell.dataset))
    return _draw_once(cell.dataset, root, cell.protocol, cell.shots, cell.seed)


@lru_cache(maxsize=1024)
def _draw_once(dataset: str, root: Path, protocol: str, shots: int, seed: int) -> CellData:
    split = _read_once(dataset, root)
    if not split.test or (protocol == "base-to-new" and len(split.class_names) < 2):
        need = "test images" if not split.test else "at least two classes for base-to-new"
        raise UserError(f"{root}: {dataset} lacks {need}; complete its split")
    sample = draw_few_shot(split, shots, seed) if shots else None
    train, val, drawn = (sample.train, sample.val, sample.fingerprint) if sample else ((), (), None)
    n_classes = len(split.class_names)
    if protocol == "few-shot":
        every = slice(0, n_classes)
        return CellData(train, val, {"test": split.test}, {"train": every, "test": every}, drawn)
    base, new = slice(0, n_base_classes(n_classes)), slice(n_base_classes(n_classes), n_classes)
    base_test, new_test = base_to_new(split.test, n_classes)
    if not base_test or not new_test:
        raise UserError(f"{root}: {dataset} has no test images of its {'new' if base_test else 'base'} classes")
    return CellData(
        train=base_to_new(train, n_classes)[0],
        val=base_to_new(val, n_classes)[0],
        tests={"base": base_test, "new": new_test},
        classes={"train": base, "base": base, "new": new},
        sample_fingerprint=drawn,
    )


def bank_folder(setting: Setting, info: DatasetInfo) -> Path:
    """The folder of the description bank: as set, else beside the data, else the project's own.

    Raises:
        UserError: no bank is set and none is found for this dataset.
    """
    if setting.descriptions.bank is not None:
        return Path(setting.descriptions.bank).expanduser()
    beside = data_root(setting, info) / "descriptions"
    for folder in (beside, EMBEDDED_BANKS):
        if (folder / info.bank_name).is_file():
            return folder
    raise UserError(
        f"descriptions.bank is not set and {beside / info.bank_name} does not exist; give descriptions.bank=FOLDER "
        f"with {info.bank_name} of {{class name: [sentence, ...]}}, or alignment.llm_weight=0"
    )


def sentences_of(setting: Setting, dataset: str) -> tuple[tuple[str, ...], ...]:
    """The description sentences of every class, by label."""
    info = dataset_info(dataset)
    names = split_of(setting, dataset).class_names
    return _read_bank_once(bank_folder(setting, info), info.name, names, setting.descriptions.per_class)


@lru_cache(maxsize=256)
def _read_bank_once(
    folder: Path, dataset: str, class_names: tuple[str, ...], per_class: int | None
) -> tuple[tuple[str, ...], ...]:
    return read_bank(folder, dataset_info(dataset), class_names, per_class)


@lru_cache(maxsize=1024)
def _pixels_once(dataset: str, root: Path, protocol: str, shots: int, seed: int) -> str:
    """SHA-256 over what the cell's images are called, how they are labelled, and what is in the files."""
    data, index = _draw_once(dataset, root, protocol, shots, seed), _digest_index(cache_root())
    image_root = dataset_info(dataset).image_root(root)
    parts = {"train": data.train, "val": data.val, **data.tests}
    return rows_fingerprint(
        (part, item.label, digest)
        for part, items in parts.items()
        for item, digest in zip(items, index.digests(image_root, [item.path for item in items]), strict=True)
    )


@lru_cache(maxsize=4)
def _digest_index(cache: Path) -> DigestIndex:
    return DigestIndex(cache / "features" / "digests")


def recipe_of(cell: Cell) -> Recipe:
    """The cell's learning rate, batch size and epochs, with the recipe resolved."""
    optim = cell.setting.optim
    return resolve_recipe(
        optim.recipe,
        shots=cell.shots,
        dataset=cell.dataset,
        n_images=len(data_of(cell).train),
        learning_rate=optim.learning_rate,
        batch_size=optim.batch_size,
        epochs=optim.epochs,
        epoch_scale=optim.epoch_scale,
    )


def cell_key(cell: Cell) -> str:
    """Hash of everything that determines the cell's numbers.

    Raises:
        UserError: a split, bank or weights file that cannot be read.
    """
    setting, info = cell.setting, dataset_info(cell.dataset)
    root = data_root(setting, info)
    settings = {key: value for key, value in setting.active().items() if key not in HASHED_BY_CONTENT}
    if setting.method == "prompt":
        recipe = recipe_of(cell)
        settings = {key: value for key, value in settings.items() if key not in RESOLVED_BY_RECIPE}
        settings |= {
            "optim.learning_rate": recipe.learning_rate,
            "optim.batch_size": recipe.batch_size,
            "optim.epochs": recipe.epochs,
        }
    sentences = sentences_of(setting, cell.dataset) if uses_descriptions(setting) else None
    weights = find_weights(setting.backbone.name, setting.backbone.pretrained)
    return fingerprint(
        {
            "numerics": NUMERICS_VERSION,
            "settings": settings,
            "weights": [weights.fingerprint, {name: weights.preprocess.get(name) for name in PREPROCESSING}],
            "dataset": [info.name, info.template, split_of(setting, cell.dataset).class_names],
            "cell": [cell.protocol, cell.shots, cell.seed],
            "images": _pixels_once(cell.dataset, root, cell.protocol, cell.shots, cell.seed),
            "descriptions": None if sentences is None else bank_fingerprint(sentences),
        }
    )


def check_cell_files(cells: Iterable[Cell]) -> None:
    """Check once per dataset that the split, the images it names that the cells need, and the bank are there.

    Raises:
        UserError: the first fault, in one line.
    """
    needed: dict[tuple[Path, str], dict[Item, None]] = {}
    banks: dict[tuple[Setting, str], None] = {}
    for cell in cells:
        info = dataset_info(cell.dataset)
        split = split_of(cell.setting, cell.dataset)
        items = needed.setdefault((info.image_root(data_root(cell.setting, info)), info.name), {})
        if not items:
            items |= dict.fromkeys(split.test)
        data = data_of(cell)
        items |= dict.fromkeys((*data.train, *data.val))
        if uses_descriptions(cell.setting):
            banks[cell.setting, cell.dataset] = None
        if cell.setting.prompt.class_specific and cell.protocol == "base-to-new" and cell.setting.method == "prompt":
            raise UserError("prompt.class_specific: new classes would have no context; use protocol=few-shot")
    for (image_root, _), items in needed.items():
        check_files(items, image_root)
    for setting, dataset in banks:
        sentences_of(setting, dataset)
