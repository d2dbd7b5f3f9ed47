"""What a cell reads, found by name: the split, the drawn sample, the description bank; and the cell's key. No torch.

A cell's key is a hash of everything that determines its numbers: active settings with the recipe resolved, the images
drawn and judged, the weights, the descriptions, and the version of the trainer's numerics. Places (data root, cache
folder, device) are no part of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from dualpt.core.cell import Cell
from dualpt.core.clip.weights import find_weights
from dualpt.core.config import Protocol, Setting, tests_with_descriptions, uses_descriptions
from dualpt.core.data.catalog import DatasetInfo, dataset_info
from dualpt.core.data.digests import DigestIndex
from dualpt.core.data.protocols import CellData, check_source, divide
from dualpt.core.data.readers import read_split
from dualpt.core.data.sampling import draw_few_shot
from dualpt.core.data.splits import Item, Split, check_files
from dualpt.core.descriptions.bank import Sentences
from dualpt.core.descriptions.reading import bank_fingerprint, read_bank
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint, rows_fingerprint
from dualpt.core.files.locations import cache_root, temporary_root
from dualpt.core.mini.grid import MANIFEST_NAME, ensure_mini_grid, is_drawn
from dualpt.core.recipes import NUMERICS_VERSION, Recipe, resolve_recipe

HASHED_BY_CONTENT = {"backbone.pretrained", "descriptions.per_class"}
"""Keys that name what the cell key hashes itself: weights and sentences."""

RESOLVED_BY_RECIPE = {"optim.recipe", "optim.epoch_scale"}
"""Keys that act through learning rate, batch size and epochs alone, which stand in the cell key themselves."""

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
"""What weights say of how images are prepared for them."""

EMBEDDED_BANKS = Path(__file__).parents[1] / "data" / "banks"
"""Description banks that ship with the project."""


def mini_root() -> Path:
    """Where the mini grid is written: a cache, since it is drawn again when it is missing."""
    return cache_root() / "mini-grid"


def info_of(setting: Setting, dataset: str) -> DatasetInfo:
    """The dataset by name, the user's own ones in the setting's data root included.

    Raises:
        UserError: no such dataset.
    """
    return dataset_info(dataset, setting.data.folder)


def data_root(setting: Setting, info: DatasetInfo) -> Path:
    """The folder that holds the dataset.

    Raises:
        UserError: a real dataset without a data root.
    """
    given = setting.data.folder
    if info.kind == "mini":  # a folder of photographs is no place to draw a mini grid into
        root = given if given is not None and (given / MANIFEST_NAME).is_file() else mini_root()
        return root if (temporary := temporary_root()) is None else _without_trace(root, info.name, temporary)
    if given is not None:
        return given
    raise UserError(
        f"data.root is not set: {info.name} is read from disk; give data.root=FOLDER that holds '{info.folder}/'"
    )


@cache
def _without_trace(root: Path, dataset: str, temporary: Path) -> Path:
    """Where a mini dataset lies, or is drawn while nothing may be added to `root`."""
    return root if is_drawn(root, dataset) else temporary / "mini-grid"


def datasets_of(cell: Cell) -> dict[DatasetInfo, Path]:
    """The source and the targets of a cell, and the root that each lies in.

    Raises:
        UserError: an unknown dataset, or one without a data root.
    """
    infos = [info_of(cell.setting, name) for name in (cell.dataset, *cell.targets)]
    return {info: data_root(cell.setting, info) for info in infos}


def mini_datasets_of(cells: Iterable[Cell]) -> dict[Path, list[str]]:
    """The mini datasets that the cells need, by the root they are to lie in."""
    wanted: dict[Path, dict[str, None]] = {}
    for cell in cells:
        for info, root in datasets_of(cell).items():
            if info.kind == "mini":
                wanted.setdefault(root, {})[info.name] = None
    return {root: list(names) for root, names in wanted.items()}


def split_of(setting: Setting, dataset: str) -> Split:
    """The dataset's split, read once per process; a mini dataset that is not on disk yet is drawn first."""
    info = info_of(setting, dataset)
    return _read_once(info, data_root(setting, info))


@lru_cache(maxsize=64)
def _read_once(info: DatasetInfo, root: Path) -> Split:
    if info.kind == "mini":
        ensure_mini_grid(root, [info.name])
    return read_split(info, root)


def data_of(cell: Cell) -> CellData:
    """Draw the cell's sample and divide it by its protocol."""
    return _draw_once(*_draw_of(cell))


Places = tuple[tuple[DatasetInfo, Path], ...]
"""Source and targets with their roots."""


def _draw_of(cell: Cell) -> tuple[Places, Protocol, int, int]:
    """What a cell's images follow from: places, protocol, shots and seed."""
    return tuple(datasets_of(cell).items()), cell.protocol, cell.shots, cell.seed


@lru_cache(maxsize=1024)
def _draw_once(places: Places, protocol: Protocol, shots: int, seed: int) -> CellData:
    (source, root), *targets = places
    if shots:
        check_source(source)
    split = _read_once(source, root)
    sample = draw_few_shot(split, shots, seed) if shots else None
    others = {info.name: _read_once(info, place) for info, place in targets}
    return divide(protocol, source.name, split, sample, others)


@cache
def _n_drawn(places: Places, protocol: Protocol, shots: int, seed: int) -> int:
    """Training images: remembered where the draw itself is not, since a sweep asks for it again and again."""
    return len(_draw_once(places, protocol, shots, seed).train)


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


def sentences_of(setting: Setting, dataset: str) -> Sentences:
    """The description sentences of every class, by label."""
    info, split = info_of(setting, dataset), split_of(setting, dataset)
    wnids = None
    if info.layout == "wnid folders":
        wnids = tuple(dict.fromkeys(item.path.partition("/")[0] for item in split.test))
    return _read_bank_once(bank_folder(setting, info), info, split.class_names, setting.descriptions.per_class, wnids)


@lru_cache(maxsize=256)
def _read_bank_once(
    folder: Path,
    info: DatasetInfo,
    class_names: tuple[str, ...],
    per_class: int | None,
    wnids: tuple[str, ...] | None,
) -> Sentences:
    return read_bank(folder, info, class_names, per_class, wnids)


def described_datasets(cell: Cell) -> tuple[str, ...]:
    """The datasets of the cell whose descriptions it uses: a target's matter only where classifying needs them."""
    source = (cell.dataset,) if uses_descriptions(cell.setting) else ()
    return (*source, *cell.targets) if tests_with_descriptions(cell.setting) else source


@cache
def _trained_pixels(places: Places, protocol: Protocol, shots: int, seed: int) -> str:
    """Fingerprint of the training and validation images: their labels, and what is in the files."""
    data = _draw_once(places, protocol, shots, seed)
    return _pixels(places, data, {"train": data.train, "val": data.val})


@cache
def _tested_pixels(places: Places, protocol: Protocol) -> str:
    """The same of the test images, which no draw changes: they are many, and looked at once."""
    data = _draw_once(places, protocol, 0, 0)
    return _pixels(places, data, data.tests)


def _pixels(places: Places, data: CellData, parts: Mapping[str, Sequence[Item]]) -> str:
    index = _digest_index(cache_root())
    image_roots = {info.name: info.image_root(root) for info, root in places}
    return rows_fingerprint(
        (part, item.label, digest)
        for part, items in parts.items()
        for item, digest in zip(
            items,
            index.digests(image_roots[data.datasets.get(part, places[0][0].name)], [item.path for item in items]),
            strict=True,
        )
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
        n_images=_n_drawn(*_draw_of(cell)),
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
    setting = cell.setting
    settings = {key: value for key, value in setting.active().items() if key not in HASHED_BY_CONTENT}
    if setting.method == "prompt":
        recipe = recipe_of(cell)
        settings = {key: value for key, value in settings.items() if key not in RESOLVED_BY_RECIPE}
        settings |= {
            "optim.learning_rate": recipe.learning_rate,
            "optim.batch_size": recipe.batch_size,
            "optim.epochs": recipe.epochs,
        }
    described = {name: bank_fingerprint(sentences_of(setting, name)) for name in described_datasets(cell)}
    weights = find_weights(setting.backbone.name, setting.backbone.pretrained)
    draw = _draw_of(cell)
    identity = {
        "numerics": NUMERICS_VERSION,
        "settings": settings,
        "weights": [weights.fingerprint, {name: weights.preprocess.get(name) for name in PREPROCESSING}],
        "dataset": _classes(setting, cell.dataset),
        "cell": [cell.protocol, cell.shots, cell.seed],
        "images": [_trained_pixels(*draw), _tested_pixels(*draw[:2])],
        "descriptions": described.get(cell.dataset),
    }
    if cell.targets:
        identity["targets"] = [[*_classes(setting, name), described.get(name)] for name in cell.targets]
    return fingerprint(identity)


def _classes(setting: Setting, dataset: str) -> list[object]:
    """What is written in prompts."""
    info = info_of(setting, dataset)
    return [info.name, info.template, split_of(setting, dataset).class_names]


def check_cell_files(cells: Iterable[Cell]) -> None:
    """Check once per dataset that the split, the images it names that the cells need, and the bank are there.

    Raises:
        UserError: the first fault, in one line.
    """
    needed: dict[tuple[DatasetInfo, Path], dict[Item, None]] = {}
    banks: dict[tuple[Setting, str], None] = {}
    for cell in cells:
        places = list(datasets_of(cell).items())
        data = data_of(cell)
        for info, root in places:
            items = needed.setdefault((info, root), {})
            if not items:
                items |= dict.fromkeys(_read_once(info, root).test)
        needed[places[0]] |= dict.fromkeys((*data.train, *data.val))
        banks |= dict.fromkeys((cell.setting, name) for name in described_datasets(cell))
        if cell.setting.prompt.class_specific and cell.protocol != "few-shot" and cell.setting.method == "prompt":
            raise UserError("prompt.class_specific: other classes would have no context; use protocol=few-shot")
    for (info, root), items in needed.items():
        check_files(items, info.image_root(root))
    for setting, dataset in banks:
        sentences_of(setting, dataset)
