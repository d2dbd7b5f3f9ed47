"""The datasets by their registry names: where each lies under the data root, and its hand-written template.

Two grids of eleven, in the field's order of columns: the real one, and the mini grid drawn by this project; four test
sets for ImageNet's classes; and what the user has registered in the data root (`own_datasets`). Layouts are
CoOp's: folders prepared for any of its successors can be used unchanged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dualpt.core.data.own_datasets import CLASS_FOLDERS, FILE_NAME, OwnDataset, read_own_datasets
from dualpt.core.data.table_file import DELIMITERS
from dualpt.core.errors import UserError, nearest
from dualpt.core.mini.datasets import IMAGES_PER_CLASS, MINI_DATASETS, RECIPES, TEMPLATES, folder_name, split_file_name

PHOTO = "a photo of a {}."

Layout = Literal["split file", "imagenet", "aircraft", "wnid folders", "numbered folders", "class folders", "table"]
"""How classes and splits are read: one JSON split file; ImageNet's and FGVCAircraft's own listings; test images in
folders named by WordNet id or by ImageNet's label; one folder per class, divided by the project; a table of images."""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known about a dataset before any file is read."""

    name: str
    """Registry name: on the command line, in tables, and as `<name>.json` in a description bank."""
    title: str
    """Column title in tables and figures."""
    kind: Literal["real", "mini", "own"]
    """Read from the user's disk, drawn by this project, or registered by the user."""
    layout: Layout = "split file"
    folder: str
    """Folder under the data root."""
    image_folder: str
    """Folder under `folder` that image paths are relative to; empty for `folder` itself."""
    split_file: str = ""
    """Name of the split file in `folder`; empty where the layout has none."""
    template: str = PHOTO
    """Hand-written zero-shot template; `{}` is the class name."""
    n_classes: int | None = None
    """Classes of the published dataset; None where the user's own files decide."""
    n_images: tuple[int, int, int] | None = None
    """Images of its train, val and test, as published."""
    described_as: str = ""
    """Dataset whose descriptions also serve this one; empty for its own."""

    @property
    def tests_only(self) -> bool:
        """Whether it has test images only: a target, never a source."""
        return self.layout in ("wnid folders", "numbered folders")

    def image_root(self, root: Path) -> Path:
        """The folder that image paths are relative to, under the data root."""
        return root / self.folder / self.image_folder

    @property
    def kgcoop_template(self) -> str:
        """What KgCoOp aligns prompts with: CoOp's template, but on DTD (htyao89/KgCoOp@c43ccc3: trainers/kgcoop.py)."""
        return _TEXTURE if self.name == "DescribableTextures" else self.template

    @property
    def prograd_template(self) -> str:
        """ProGrad's, which writes what follows the class name in CoOp's before it (BeierZhu/Prompt-align@27ddd3b:
        ProGrad.public/trainers/prograd.py), so a context of words can begin with all of it."""
        return _BEFORE_THE_NAME.get(self.template, self.template)

    @property
    def bank_name(self) -> str:
        """File name in a description bank."""
        return f"{self.described_as or self.name}.json"


def _real(
    name: str,
    title: str,
    folder: str,
    image_folder: str,
    n_classes: int,
    n_images: tuple[int, int, int],
    template: str = PHOTO,
    layout: Layout = "split file",
) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        title=title,
        kind="real",
        layout=layout,
        folder=folder,
        image_folder=image_folder,
        split_file=f"split_zhou_{name}.json" if layout == "split file" else "",
        template=template,
        n_classes=n_classes,
        n_images=n_images,
    )


_PET, _FLOWER, _AIRCRAFT, _TEXTURE = (
    f"a photo of a {{}}, a type of {kind}." for kind in ("pet", "flower", "aircraft", "texture")
)
_FOOD, _TEXTURES, _SATELLITE, _ACTION = (
    "a photo of {}, a type of food.",
    "{} texture.",
    "a centered satellite photo of {}.",
    "a photo of a person doing {}.",
)
_BEFORE_THE_NAME = {
    _PET: "a type of pet, a photo of a {}.",
    _FLOWER: "a type of flower, a photo of a {}.",
    _AIRCRAFT: "a type of aircraft, a photo of a {}.",
    _FOOD: "a type of food, a photo of {}.",
    _TEXTURES: "a texture of {}.",
}
# ImageNet's 50,000 `val` images are its test. Where the numbers of images come from: the split files of Caltech101,
# Pets, Cars, Flowers, Textures, EuroSAT and UCF101 (tests count those of Pets, Textures and EuroSAT); Food101's 1,000
# images per class divided 5:2:3 and SUN397's 50 training images per class divided 4:1, as CoOp did; Aircraft's three
# listings of 10,000 images. The classes are counted in the tests too.
_REAL = (
    _real("ImageNet", "ImageNet", "imagenet", "images", 1000, (1_281_167, 0, 50_000), layout="imagenet"),
    _real("Caltech101", "Caltech101", "caltech-101", "101_ObjectCategories", 100, (4128, 1649, 2465)),
    _real("OxfordPets", "Pets", "oxford_pets", "images", 37, (2944, 736, 3669), _PET),
    _real("StanfordCars", "Cars", "stanford_cars", "", 196, (6509, 1635, 8041)),
    _real("OxfordFlowers", "Flowers", "oxford_flowers", "jpg", 102, (4093, 1633, 2463), _FLOWER),
    _real("Food101", "Food101", "food-101", "images", 101, (50_500, 20_200, 30_300), _FOOD),
    _real("FGVCAircraft", "Aircraft", "fgvc_aircraft", "images", 100, (3334, 3333, 3333), _AIRCRAFT, "aircraft"),
    _real("SUN397", "SUN397", "sun397", "SUN397", 397, (15_880, 3970, 19_850)),
    _real("DescribableTextures", "DTD", "dtd", "images", 47, (2820, 1128, 1692), _TEXTURES),
    _real("EuroSAT", "EuroSAT", "eurosat", "2750", 10, (13_500, 5400, 8100), _SATELLITE),
    _real("UCF101", "UCF101", "ucf101", "UCF-101-midframes", 101, (7639, 1898, 3783), _ACTION),
)


def _variant(
    name: str, title: str, folder: str, image_folder: str, n_classes: int, n_test: int, layout: Layout
) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        title=title,
        kind="real",
        layout=layout,
        folder=folder,
        image_folder=image_folder,
        n_classes=n_classes,
        n_images=(0, 0, n_test),
        described_as="ImageNet",
    )


# Images as the authors of each count them.
_V2_FOLDER = "imagenetv2-matched-frequency-format-val"
_VARIANTS = (
    _variant("ImageNetV2", "ImageNet-V2", "imagenetv2", _V2_FOLDER, 1000, 10_000, "numbered folders"),
    _variant("ImageNetSketch", "ImageNet-Sketch", "imagenet-sketch", "images", 1000, 50_889, "wnid folders"),
    _variant("ImageNetA", "ImageNet-A", "imagenet-adversarial", "imagenet-a", 200, 7500, "wnid folders"),
    _variant("ImageNetR", "ImageNet-R", "imagenet-rendition", "imagenet-r", 200, 30_000, "wnid folders"),
)


def _mini(name: str) -> DatasetInfo:
    n_classes = RECIPES[name].n_classes
    train, val, test = (n_classes * IMAGES_PER_CLASS[part] for part in ("train", "val", "test"))
    return DatasetInfo(
        name=name,
        title=name,
        kind="mini",
        folder=folder_name(name),
        image_folder="images",
        split_file=split_file_name(name),
        template=TEMPLATES[name],
        n_classes=n_classes,
        n_images=(train, val, test),
    )


_DATASETS = {info.name: info for info in (*_REAL, *_VARIANTS, *map(_mini, MINI_DATASETS))}

REAL_GRID: tuple[str, ...] = tuple(info.name for info in _REAL)
IMAGENET_VARIANTS: tuple[str, ...] = tuple(info.name for info in _VARIANTS)
MINI_GRID: tuple[str, ...] = MINI_DATASETS
GRIDS: dict[str, tuple[str, ...]] = {"mini": MINI_GRID, "real": REAL_GRID, "imagenet-variants": IMAGENET_VARIANTS}
"""Names that stand for several datasets wherever datasets are listed."""
BUILT_IN: tuple[str, ...] = (*_DATASETS, *GRIDS, "mean", "average")
"""Names that a user's own dataset cannot take: `grid/mean/...` is a metric."""


def dataset_info(name: str, root: Path | None = None) -> DatasetInfo:
    """Look up a dataset by its registry name.

    Args:
        name: a built-in dataset, or one that is registered in a data root.
        root: the data root in use. Its `datasets.yaml` is read, and its names are then known to later calls without a
            root: they name what was read before.

    Raises:
        UserError: no such dataset (the nearest name is suggested), or a `datasets.yaml` that cannot be read.
    """
    if name in _DATASETS:
        return _DATASETS[name]
    own = own_datasets(root)
    if name not in own:
        raise _unknown(name, own)
    return own[name]


def _unknown(name: str, own: Mapping[str, DatasetInfo]) -> UserError:
    """Titles and folders are what people remember of a dataset, and are suggested by its registry name."""
    if name in GRIDS:
        return UserError(f"'{name}' stands for {len(GRIDS[name])} datasets; name one of them, as '{GRIDS[name][0]}'")
    infos = (*own.values(), *_DATASETS.values())  # of two with one title, the built-in one is meant
    others = {word: info.name for info in infos for word in (info.folder, info.title)}
    hint = nearest(name, [*others, *(info.name for info in infos)], others)
    listed = "`dualpt data check` lists the mini grid; with --root DATA, the real ones and yours"
    return UserError(f"unknown dataset '{name}'{hint} ({listed})")


def dataset_title(name: str) -> str:
    """The column title of a dataset; its name where it is not known, as a user's own is without its data root."""
    info = _DATASETS.get(name) or own_datasets().get(name)
    return name if info is None else info.title


_OWN: dict[Path, tuple[object, dict[str, DatasetInfo]]] = {}
"""Data root -> the state of its `datasets.yaml` when it was read, and the datasets of it."""


def own_datasets(root: Path | None = None) -> dict[str, DatasetInfo]:
    """The datasets that are registered in a data root; without one, in all data roots read so far.

    Raises:
        UserError: a `datasets.yaml` that cannot be read.
    """
    if root is None:
        return {name: info for _, own in _OWN.values() for name, info in own.items()}
    state = _state(root / FILE_NAME)
    if root not in _OWN or _OWN[root][0] != state:
        entries = read_own_datasets(root, BUILT_IN)
        _OWN[root] = (state, {name: registered(name, entry) for name, entry in entries.items()})
    return _OWN[root][1]


def _state(path: Path) -> object:
    """What changes when the file is rewritten; None if it does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def registered(name: str, entry: OwnDataset) -> DatasetInfo:
    """The dataset that an entry of `datasets.yaml` describes."""
    by_folders = entry.split == CLASS_FOLDERS
    by_file: Layout = "table" if Path(entry.split).suffix.lower() in DELIMITERS else "split file"
    return DatasetInfo(
        name=name,
        title=entry.title or name,
        kind="own",
        layout="class folders" if by_folders else by_file,
        folder=entry.folder,
        image_folder=entry.images,
        split_file="" if by_folders else entry.split,
        template=entry.template,
    )


def expand_datasets(names: Iterable[str], root: Path | None = None) -> tuple[str, ...]:
    """Replace `mini`, `real` and `imagenet-variants` by their datasets; each once, in the order of first mention.

    Raises:
        UserError: an unknown name, or none at all.
    """
    expanded: dict[str, None] = {}
    for name in names:
        for member in GRIDS.get(name) or (dataset_info(name, root).name,):
            expanded[member] = None
    if not expanded:
        raise UserError("no datasets given: name some, or a whole grid as 'mini' or 'real'")
    return tuple(expanded)
