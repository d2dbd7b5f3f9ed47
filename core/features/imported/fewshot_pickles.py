"""The draws in Dassl's `split_fewshot` files (`dualpt.core.data.draws.draw_files`) as rows of imported features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from dualpt.core.data.draws.draw_files import CLASS, FOLDER, shots_and_seed, unpickled
from dualpt.core.data.imported_split import StoredDraw
from dualpt.core.data.split_file import relative_path
from dualpt.core.data.splits import Item, Split
from dualpt.core.errors import UserError
from dualpt.core.features.imported.cache_checks import check_shots


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
    draws = [_read(path, *numbers) for path in found.values() if (numbers := shots_and_seed(path))]
    return sorted(draws, key=lambda draw: (draw.shots, draw.seed))


def rows_of_draw(draw: FewshotFile, split: Split, image_folder: str) -> StoredDraw:
    """A draw as rows of the split's training and validation images.

    Args:
        image_folder: the dataset's image root under the data root (`dtd/images`): paths are cut after it.

    Raises:
        UserError: an image that the split doesn't list there, or lists with another label; one that is drawn twice;
            another number of a class than the file's name says.
    """
    train = _rows(draw, draw.train, split.train, "train", image_folder)
    labels = torch.tensor([item.label for item in split.train])
    check_shots(labels[list(train)], draw.shots, labels.bincount(minlength=len(split.class_names)), str(draw.source))
    val_items = split.val or split.train
    if draw.val is None or val_items is split.train:
        return StoredDraw(draw.shots, draw.seed, train)
    return StoredDraw(draw.shots, draw.seed, train, _rows(draw, draw.val, val_items, "val", image_folder))


def _read(path: Path, shots: int, seed: int) -> FewshotFile:
    content = unpickled(path)
    if not isinstance(content, dict) or "train" not in content:
        raise UserError(f"{path}: holds no 'train' list; it isn't a few-shot draw of Dassl")
    val = None if content.get("val") is None else _images(content["val"], path)
    return FewshotFile(path, shots, seed, _images(content["train"], path), val)


def _images(records: object, path: Path) -> tuple[DrawnImage, ...]:
    images: list[DrawnImage] = []
    for record in records if isinstance(records, list) else ():
        fields = getattr(record, "__dict__", {})
        impath, label = fields.get("_impath"), fields.get("_label")
        if not isinstance(impath, str) or not isinstance(label, int):
            raise UserError(f"{path}: entry {len(images)} is no {CLASS} with a path and a label; draw it again")
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
    if len(set(rows)) < len(rows):
        twice = next(row for row in rows if rows.count(row) > 1)
        raise UserError(f"{draw.source}: image {items[twice].path:.80} is drawn twice in '{part}'; draw it again")
    return tuple(rows)
