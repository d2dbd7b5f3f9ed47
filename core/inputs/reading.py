"""What a cell reads: its datasets, the images drawn from them, and the description banks. No torch.

`CellInputs` finds each dataset of a cell once, at the door, and is passed on; splits, draws and banks are read once
per process.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path

from dualpt.core.cell import Cell, check_rows
from dualpt.core.config.activity import tests_with_descriptions, uses_descriptions
from dualpt.core.config.sections import DrawKind, Protocol
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import DatasetInfo, dataset_info
from dualpt.core.data.checking.image_faults import check_depth
from dualpt.core.data.imported_split import ImportedSplit, find_import
from dualpt.core.data.protocols import CellData, check_source, divide
from dualpt.core.data.readers import read_split
from dualpt.core.data.sampling import FewShotSample, draw_few_shot, folds, held_out
from dualpt.core.data.splits import Item, Split, check_files
from dualpt.core.descriptions.bank import Sentences
from dualpt.core.descriptions.reading import read_bank
from dualpt.core.errors import UserError
from dualpt.core.files.locations import cache_root, temporary_root
from dualpt.core.inputs.import_limits import check_import, check_one_space, crops_read
from dualpt.core.mini.grid import MANIFEST_NAME, ensure_mini_grid, is_drawn
from dualpt.core.recipes import Recipe, resolve_recipe
from dualpt.core.selection_rules import least_left

EMBEDDED_BANKS = Path(__file__).parents[1] / "data" / "banks"
"""Description banks that ship with the project."""


@dataclass(frozen=True)
class Dataset:
    """A dataset that has been found: what is known of it, and where its images or its imported features lie."""

    info: DatasetInfo
    root: Path
    """The data root, or the folder of imports."""
    is_imported: bool = False
    """Whether there are features in place of images."""
    draw_kind: DrawKind = "standard"
    """How many images of each class are drawn."""

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def image_root(self) -> Path:
        """The folder that image paths are relative to."""
        return self.info.image_root(self.root)

    @property
    def split(self) -> Split:
        """Read once per process; a mini dataset that is not on disk yet is drawn first.

        Raises:
            UserError: the split cannot be read.
        """
        return self.imported.split if self.is_imported else _read_once(self)

    @property
    def imported(self) -> ImportedSplit:
        """What its imported features are; only where it `is_imported`.

        Raises:
            UserError: the folder holds none of this dataset, or a file that nothing imported.
        """
        return find_import(self.root, self.name)

    @property
    def template(self) -> str:
        """That class names are put into: of imported features, the one that their text was encoded in, if known."""
        return (self.imported.template if self.is_imported else "") or self.info.template

    def draw(self, shots: int, seed: int) -> FewShotSample:
        """A few-shot sample.

        Raises:
            UserError: imported features of fewer images.
        """
        if self.is_imported:
            return self.imported.draw(shots, seed, self.draw_kind)
        return draw_few_shot(self.split, shots, seed, kind=self.draw_kind)


def mini_root() -> Path:
    """Where the mini grid is written: a cache, since it is drawn again when it is missing."""
    return cache_root() / "mini-grid"


def info_of(setting: Setting, dataset: str) -> DatasetInfo:
    """What is known of a dataset, including the user's own in the setting's data root; needs no data root.

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
    if info.kind == "mini":  # never draw the mini grid into a folder of photographs
        root = given if given is not None and (given / MANIFEST_NAME).is_file() else mini_root()
        return root if (temporary := temporary_root()) is None else _without_trace(root, info.name, temporary)
    if given is not None:
        return given
    raise UserError(
        f"data.root is not set: {info.name} is read from disk; give data.root=FOLDER that holds '{info.folder}/'"
    )


@cache
def _without_trace(root: Path, dataset: str, temporary: Path) -> Path:
    """Where a mini dataset is, or is drawn while nothing may be added to `root`."""
    return root if is_drawn(root, dataset) else temporary / "mini-grid"


def find_dataset(setting: Setting, name: str) -> Dataset:
    """The dataset by its registry name, in the setting's data root or among its imported features.

    Raises:
        UserError: no such dataset, a real one without a data root, or imported features that the setting can't use.
    """
    info = info_of(setting, name)
    if (imports := setting.data.imports) is not None:
        dataset = Dataset(info, imports, is_imported=True, draw_kind=setting.data.draw)
        check_import(setting, dataset.imported)
        return dataset
    return Dataset(info, data_root(setting, info), draw_kind=setting.data.draw)


class CellInputs:
    """What a cell reads. Made at the door of every operation on a cell, and passed on from there.

    Raises:
        UserError: an unknown dataset, or one without a data root; the properties: a split, draw or bank that cannot be
            read.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.datasets = {name: find_dataset(cell.setting, name) for name in (cell.dataset, *cell.targets)}
        """The source and the targets, by name."""
        check_one_space([one.imported for one in self.datasets.values() if one.is_imported])
        if self.source.is_imported and cell.setting.fits_features:
            left = least_left(cell.shots, cell.selection)
            check_rows(cell.setting, max(1, crops_read(cell.setting, self.source.imported)), left)

    @property
    def source(self) -> Dataset:
        """The dataset that is trained on."""
        return self.datasets[self.cell.dataset]

    @property
    def draw(self) -> "Draw":
        """What determines the cell's images."""
        return tuple(self.datasets.values()), self.cell.protocol, self.cell.shots, self.cell.seed

    @property
    def data(self) -> CellData:
        """The drawn sample and the test sets, divided by the cell's protocol.

        Without validation images where the cell's selection may not see those of the split.
        """
        drawn = draw_once(*self.draw)
        return drawn if self.cell.selection == "validation" else replace(drawn, val=())

    @cached_property
    def judging(self) -> tuple[CellData, ...]:
        """The support set, divided: each is fitted on `train` and judged on `val`. Empty where it isn't divided."""
        data, seed = self.data, self.cell.seed
        match self.cell.selection:
            case "validation" | "none":
                return ()
            case "support-holdout":
                divisions = [held_out(data.train, seed)]
            case "support-cv":
                divisions = folds(data.train, seed)
        return tuple(replace(data, train=kept, val=held) for kept, held in divisions if held)

    @cached_property
    def recipe(self) -> Recipe:
        """Learning rate, batch size and epochs, with the recipe resolved."""
        optim = self.cell.setting.optim
        return resolve_recipe(
            optim.recipe,
            shots=self.cell.shots,
            dataset=self.cell.dataset,
            n_images=_count_drawn(*self.draw),
            learning_rate=optim.learning_rate,
            batch_size=optim.batch_size,
            epochs=optim.epochs,
            epoch_scale=optim.epoch_scale,
        )

    @property
    def described(self) -> tuple[str, ...]:
        """Datasets whose descriptions the cell uses; a target's only where classification needs them."""
        setting = self.cell.setting
        source = (self.cell.dataset,) if uses_descriptions(setting) else ()
        return (*source, *self.cell.targets) if tests_with_descriptions(setting) else source

    def dataset_of(self, part: str) -> Dataset:
        """The dataset of `train` or of a test set."""
        return self.datasets[self.data.datasets[part]]

    def class_names(self, part: str) -> tuple[str, ...]:
        """Class names of `train` or of a test set, by label."""
        return self.dataset_of(part).split.class_names[self.data.classes[part]]

    def sentences(self, dataset: str) -> Sentences:
        """The description sentences of every class of one of the datasets, by label."""
        return read_sentences(self.cell.setting, self.datasets[dataset])


Draw = tuple[tuple[Dataset, ...], Protocol, int, int]
"""Source and targets, protocol, shots and seed: what determines a cell's images."""


@lru_cache(maxsize=64)
def _read_once(dataset: Dataset) -> Split:
    if dataset.info.kind == "mini":
        ensure_mini_grid(dataset.root, [dataset.name])
    return read_split(dataset.info, dataset.root)


@lru_cache(maxsize=1024)
def draw_once(datasets: tuple[Dataset, ...], protocol: Protocol, shots: int, seed: int) -> CellData:
    """Draw a sample, remembered for the process; arguments are the members of a `Draw`."""
    source, *targets = datasets
    if shots:
        check_source(source.info)
    sample = source.draw(shots, seed) if shots else None
    return divide(protocol, source.name, source.split, sample, {target.name: target.split for target in targets})


@cache
def _count_drawn(datasets: tuple[Dataset, ...], protocol: Protocol, shots: int, seed: int) -> int:
    """Training images; kept when the draw itself has been evicted, since a sweep asks for it again and again."""
    return len(draw_once(datasets, protocol, shots, seed).train)


def data_of(cell: Cell) -> CellData:
    """The cell's drawn sample and test sets (`CellInputs.data`)."""
    return CellInputs(cell).data


def split_of(setting: Setting, dataset: str) -> Split:
    """The dataset's split (`Dataset.split`)."""
    return find_dataset(setting, dataset).split


def sentences_of(setting: Setting, dataset: str) -> Sentences:
    """The description sentences of every class, by label."""
    return read_sentences(setting, find_dataset(setting, dataset))


def read_sentences(setting: Setting, dataset: Dataset) -> Sentences:
    """The description sentences of every class of a dataset that has been found, by label.

    Raises:
        UserError: no bank is found, or it does not fit the classes.
    """
    info, split = dataset.info, dataset.split
    wnids = None
    if info.layout == "wnid folders":
        wnids = tuple(dict.fromkeys(item.path.partition("/")[0] for item in split.test))
    return _read_bank_once(
        bank_folder(setting, dataset), info, split.class_names, setting.descriptions.per_class, wnids
    )


def bank_folder(setting: Setting, dataset: Dataset) -> Path:
    """The folder of the description bank: as set, else beside the data, else the project's own.

    Raises:
        UserError: no bank is set, and none is found for this dataset.
    """
    if setting.descriptions.bank is not None:
        return Path(setting.descriptions.bank).expanduser()
    beside, file_name = dataset.root / "descriptions", dataset.info.bank_name
    for folder in (beside, EMBEDDED_BANKS):
        if (folder / file_name).is_file():
            return folder
    without = "alignment.llm_weight=0" if setting.learns_prompts else f"leave {setting.method_name} out"
    raise UserError(
        f"descriptions.bank is not set and {beside / file_name} does not exist; give descriptions.bank=FOLDER "
        f"with {file_name} of {{class name: [sentence, ...]}}, or {without}"
    )


@lru_cache(maxsize=256)
def _read_bank_once(
    folder: Path,
    info: DatasetInfo,
    class_names: tuple[str, ...],
    per_class: int | None,
    wnids: tuple[str, ...] | None,
) -> Sentences:
    return read_bank(folder, info, class_names, per_class, wnids)


def mini_datasets_of(cells: Iterable[CellInputs]) -> dict[Path, list[str]]:
    """The mini datasets that the cells need, by the root they lie in."""
    wanted: dict[Path, dict[str, None]] = {}
    for inputs in cells:
        for dataset in inputs.datasets.values():
            if dataset.info.kind == "mini" and not dataset.is_imported:
                wanted.setdefault(dataset.root, {})[dataset.name] = None
    return {root: list(names) for root, names in wanted.items()}


def check_cell_files(cells: Iterable[CellInputs]) -> None:
    """Check once per dataset that its split, the images that the cells need, and its bank are there, and draws.

    Raises:
        UserError: the first fault, in one line.
    """
    needed: dict[Dataset, dict[Item, None]] = {}
    banks: dict[tuple[Setting, Dataset], None] = {}
    for inputs in cells:
        setting, data = inputs.cell.setting, inputs.data
        for dataset in inputs.datasets.values():
            if not (items := needed.setdefault(dataset, {})):
                items |= dict.fromkeys(dataset.split.test)
        needed[inputs.source] |= dict.fromkeys((*data.train, *data.val))
        banks |= dict.fromkeys((setting, inputs.datasets[name]) for name in inputs.described)
        if setting.prompt.class_specific and inputs.cell.protocol != "few-shot" and setting.learns_prompts:
            raise UserError("prompt.class_specific: other classes would have no context; use protocol=few-shot")
    for dataset, items in needed.items():
        if dataset.is_imported:
            continue
        check_files(items, dataset.image_root)
        if dataset.info.kind == "own":  # published numbers are of the field's loader, whatever it makes of an image
            check_depth(items, dataset.image_root)
    for setting, dataset in banks:
        read_sentences(setting, dataset)
