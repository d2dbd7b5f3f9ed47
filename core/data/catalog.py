"""The datasets by their registry names: where each lies under the data root, and its hand-written template.

Two grids of eleven, in the field's order of columns: the real one, and the mini grid drawn by this project. Layouts are
CoOp's, so that folders prepared for any of its successors can be used as they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import UserError, nearest
from core.mini.datasets import MINI_DATASETS, TEMPLATES, folder_name, split_file_name

PHOTO = "a photo of a {}."


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known of a dataset before any file is read."""

    name: str
    """Registry name: on the command line, in tables, and as `<name>.json` in a description bank."""
    title: str
    """Column title in tables and figures."""
    kind: Literal["real", "mini"]
    layout: Literal["split file", "imagenet", "aircraft"] = "split file"
    """How classes and splits are read: one JSON split file, or the two datasets that have none."""
    folder: str
    """Folder under the data root."""
    image_folder: str
    """Folder under `folder` that image paths are relative to; empty for `folder` itself."""
    split_file: str = ""
    """Name of the split file in `folder`; empty where the layout has none."""
    template: str = PHOTO
    """Hand-written zero-shot template; `{}` is the class name."""

    def image_root(self, root: Path) -> Path:
        """The folder that image paths are relative to, under the data root."""
        return root / self.folder / self.image_folder

    @property
    def bank_name(self) -> str:
        """File name in a description bank."""
        return f"{self.name}.json"


def _real(name: str, title: str, folder: str, image_folder: str, template: str = PHOTO) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        title=title,
        kind="real",
        folder=folder,
        image_folder=image_folder,
        split_file=f"split_zhou_{name}.json",
        template=template,
    )


_IMAGENET = DatasetInfo(
    name="ImageNet", title="ImageNet", kind="real", layout="imagenet", folder="imagenet", image_folder="images"
)
_AIRCRAFT = DatasetInfo(
    name="FGVCAircraft",
    title="Aircraft",
    kind="real",
    layout="aircraft",
    folder="fgvc_aircraft",
    image_folder="images",
    template="a photo of a {}, a type of aircraft.",
)
_REAL = (
    _IMAGENET,
    _real("Caltech101", "Caltech101", "caltech-101", "101_ObjectCategories"),
    _real("OxfordPets", "Pets", "oxford_pets", "images", "a photo of a {}, a type of pet."),
    _real("StanfordCars", "Cars", "stanford_cars", ""),
    _real("OxfordFlowers", "Flowers", "oxford_flowers", "jpg", "a photo of a {}, a type of flower."),
    _real("Food101", "Food101", "food-101", "images", "a photo of {}, a type of food."),
    _AIRCRAFT,
    _real("SUN397", "SUN397", "sun397", "SUN397"),
    _real("DescribableTextures", "DTD", "dtd", "images", "{} texture."),
    _real("EuroSAT", "EuroSAT", "eurosat", "2750", "a centered satellite photo of {}."),
    _real("UCF101", "UCF101", "ucf101", "UCF-101-midframes", "a photo of a person doing {}."),
)


def _mini(name: str) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        title=name,
        kind="mini",
        folder=folder_name(name),
        image_folder="images",
        split_file=split_file_name(name),
        template=TEMPLATES[name],
    )


_DATASETS = {info.name: info for info in (*_REAL, *map(_mini, MINI_DATASETS))}

REAL_GRID: tuple[str, ...] = tuple(info.name for info in _REAL)
MINI_GRID: tuple[str, ...] = MINI_DATASETS
GRIDS: dict[str, tuple[str, ...]] = {"mini": MINI_GRID, "real": REAL_GRID}
"""Names that stand for a whole grid wherever datasets are listed."""


def dataset_info(name: str) -> DatasetInfo:
    """Look up a dataset by its registry name.

    Raises:
        UserError: no such dataset; the nearest name is suggested.
    """
    if name not in _DATASETS:
        raise UserError(f"unknown dataset '{name}'{nearest(name, _DATASETS)} (known: {', '.join(_DATASETS)})")
    return _DATASETS[name]


def expand_datasets(names: Iterable[str]) -> tuple[str, ...]:
    """Replace `mini` and `real` by their eleven datasets; each dataset once, in the order of first mention.

    Raises:
        UserError: an unknown name, or none at all.
    """
    expanded: dict[str, None] = {}
    for name in names:
        for member in GRIDS.get(name) or (dataset_info(name).name,):
            expanded[member] = None
    if not expanded:
        raise UserError("no datasets given: name some, or a whole grid as 'mini' or 'real'")
    return tuple(expanded)
