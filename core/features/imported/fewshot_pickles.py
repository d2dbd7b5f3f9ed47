"""The draws in Dassl's `split_fewshot` files, read without running them.

CoOp and its successors keep each few-shot draw as `shot_{K}-seed_{S}.pkl`: a pickle of {"train": [Datum], "val":
[Datum]}, a Datum holding an image's path on some machine, its label and class name (KaiyangZhou/CoOp: datasets/dtd.py;
Dassl: data/datasets/base_dataset.py). A pickle can call anything it can name; here it can name Datum alone, which
becomes a record without code.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dualpt.core.data.imported_split import StoredDraw
from dualpt.core.data.split_file import relative_path
from dualpt.core.data.splits import Item, Split
from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_fetched, check_regular

NAME = re.compile(r"shot_(\d+)-seed_(\d+)\.pkl")
FOLDER = "split_fewshot"
RECORD = "Datum"
"""The one class that may be named, whatever module it is in: forks of Dassl moved it."""


class DrawnImage(NamedTuple):
    path: str
    """On the machine that wrote the file."""
    label: int


@dataclass(frozen=True)
class FewshotFile:
    """One draw, as it lies in a file."""

    source: Path
    shots: int
    seed: int
    train: tuple[DrawnImage, ...]
    val: tuple[DrawnImage, ...] | None
    """None where the file has none, as ImageNet's."""


def find_draws(folder: Path) -> list[FewshotFile]:
    """The draws in a folder, or in `split_fewshot` in it, by shots and seed.

    Raises:
        UserError: a file that names something else than a Datum, is damaged, or holds no draw.
    """
    inside = folder / FOLDER
    found = {
        path.name: path for place in (folder, inside) if place.is_dir() for path in sorted(place.glob("shot_*.pkl"))
    }
    numbers = {path: match for name, path in found.items() if (match := NAME.fullmatch(name))}
    draws = [_read(path, int(match[1]), int(match[2])) for path, match in numbers.items()]
    return sorted(draws, key=lambda draw: (draw.shots, draw.seed))


def rows_of_draw(draw: FewshotFile, split: Split, image_folder: str) -> StoredDraw:
    """A draw as rows of the split's training and validation images.

    Args:
        image_folder: the dataset's image root under the data root (`dtd/images`): paths are cut after it.

    Raises:
        UserError: an image that the split doesn't list there, or lists with another label.
    """
    train = _rows(draw, draw.train, split.train, "train", image_folder)
    val_items = split.val or split.train
    if draw.val is None or val_items is split.train:
        return StoredDraw(draw.shots, draw.seed, train)
    return StoredDraw(draw.shots, draw.seed, train, _rows(draw, draw.val, val_items, "val", image_folder))


class _Record:
    """What a Datum becomes: its fields, and no code."""

    def __init__(self) -> None:
        self.fields: Mapping[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        self.fields = state if isinstance(state, dict) else {}


class _RecordsOnly(pickle.Unpickler):
    """Makes no object but records and plain containers."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if global_name == RECORD:
            return _Record
        raise pickle.UnpicklingError(f"names {module_name}.{global_name}")


def _read(path: Path, shots: int, seed: int) -> FewshotFile:
    check_regular(path)
    try:
        check_fetched(path)
        with path.open("rb") as file:
            content = _RecordsOnly(file).load()
    except pickle.UnpicklingError as error:
        fault = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a few-shot draw of Dassl ({fault}); only its {RECORD} is read, since pickles may run code"
        ) from None
    except (OSError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError, ArithmeticError) as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}: {error!s:.100}); fetch or draw it again") from None
    if not isinstance(content, dict) or "train" not in content:
        raise UserError(f"{path}: holds no 'train' list; it isn't a few-shot draw of Dassl")
    val = None if content.get("val") is None else _images(content["val"], path)
    return FewshotFile(path, shots, seed, _images(content["train"], path), val)


def _images(records: object, path: Path) -> tuple[DrawnImage, ...]:
    images: list[DrawnImage] = []
    for record in records if isinstance(records, list) else ():
        fields = getattr(record, "fields", {})
        impath, label = fields.get("_impath"), fields.get("_label")
        if not isinstance(impath, str) or not isinstance(label, int):
            raise UserError(f"{path}: entry {len(images)} is no {RECORD} with a path and a label; draw it again")
        images.append(DrawnImage(impath, label))
    if not images:
        raise UserError(f"{path}: lists no images; draw it again")
    return tuple(images)


def _rows(
    draw: FewshotFile, images: Sequence[DrawnImage], items: Sequence[Item], part: str, image_folder: str
) -> tuple[int, ...]:
    """Where the images stand among the split's."""
    places = {item.path: row for row, item in reversed(list(enumerate(items)))}
    rows = []
    for image in images:
        try:
            path = relative_path(image.path, image_folder)
        except ValueError:
            path = image.path
        row = places.get(path)
        if row is None:
            raise UserError(f"{draw.source}: image {image.path:.120} is not in the split's '{part}'; check --dataset")
        if items[row].label != image.label:
            fault = f"image {path:.80} has label {image.label}, and the split's {items[row].label}"
            raise UserError(f"{draw.source}: {fault}; it was drawn from another split")
        rows.append(row)
    return tuple(rows)
