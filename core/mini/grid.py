"""Writes the mini grid to disk in the field's layout: images, split files and description banks.

A dataset appears under its name only when it is complete: it is drawn in a hidden sibling folder and renamed.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dualpt.core.errors import UserError, nearest
from dualpt.core.files.locations import holding, write_atomically
from dualpt.core.mini.datasets import IMAGES_PER_CLASS, MINI_DATASETS, RECIPES, folder_name, split_file_name
from dualpt.core.mini.drawing import image_paths, partial_folder
from dualpt.core.mini.drawing_pool import draw_classes
from dualpt.core.mini.language import describe
from dualpt.core.mini.world import build_world

GRID_VERSION = 1
"""Raise it when any pixel, split or description changes: older grids on disk are then drawn afresh."""
MANIFEST_NAME = "grid.json"
DESCRIPTIONS_FOLDER = "descriptions"
LOCK_NAME = ".grid.lock"

Progress = Callable[[int, int, str], None]
"""Called with classes drawn, classes to draw, and the dataset of the latest one."""


def ensure_mini_grid(root: Path, datasets: Sequence[str] | None = None, progress: Progress | None = None) -> Path:
    """Draw what is missing of the mini grid under `root`, and return `root`.

    Safe to call from several processes at once, and again after a call was killed. Draws in a process per core.

    Args:
        root: the data root; datasets become folders in it.
        datasets: names from `MINI_DATASETS`; all of them if None.
        progress: called after each drawn class.

    Raises:
        UserError: a name is not a mini dataset, or the folder cannot be written.
    """
    wanted = tuple(datasets) if datasets is not None else MINI_DATASETS
    for name in wanted:
        if name not in RECIPES:
            raise UserError(f"data: no mini dataset is called '{name}'{nearest(name, MINI_DATASETS)}")
    if not _missing(root, wanted):
        return root
    with holding(root / LOCK_NAME):
        missing = _missing(root, wanted)  # another process may have drawn them while this one waited
        for dataset in missing:
            shutil.rmtree(partial_folder(root, dataset), ignore_errors=True)
        _draw_datasets(root, missing, progress)
    return root


def split_document(dataset: str) -> dict[str, list[list[Any]]]:
    """The split file's content: `[path, label, class name]` of every image of each split."""
    document: dict[str, list[list[Any]]] = {split: [] for split in IMAGES_PER_CLASS}
    for label, item in enumerate(build_world().classes[dataset]):
        for split, _, path in image_paths(item):
            document[split].append([path, label, item.name])
    return document


def description_bank(dataset: str) -> dict[str, list[str]]:
    """Class name to its description sentences."""
    index = MINI_DATASETS.index(dataset)
    return {item.name: describe(item, index, label) for label, item in enumerate(build_world().classes[dataset])}


def read_manifest(root: Path) -> dict[str, dict[str, str]]:
    """Dataset to its hashes, for datasets that are complete and of this version."""
    try:
        manifest = json.loads((root / MANIFEST_NAME).read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return dict(manifest["datasets"]) if manifest.get("version") == GRID_VERSION else {}


def is_drawn(root: Path, dataset: str) -> bool:
    """Whether the dataset is complete under `root`, and of this version."""
    files = (root / folder_name(dataset) / split_file_name(dataset), _bank_file(root, dataset))
    return dataset in read_manifest(root) and all(file.exists() for file in files)


def _missing(root: Path, wanted: Sequence[str]) -> list[str]:
    return [dataset for dataset in wanted if not is_drawn(root, dataset)]


def _draw_datasets(root: Path, datasets: Sequence[str], progress: Progress | None) -> None:
    """Draw datasets class by class on all cores, and publish each as soon as it is complete."""
    n_classes = {dataset: RECIPES[dataset].n_classes for dataset in datasets}
    digests: dict[str, dict[int, str]] = {dataset: {} for dataset in datasets}
    tasks = [(root, dataset, label) for dataset in datasets for label in range(n_classes[dataset])]
    for n_done, (dataset, label, digest) in enumerate(draw_classes(tasks), start=1):
        digests[dataset][label] = digest
        if len(digests[dataset]) == n_classes[dataset]:
            ordered = [digests[dataset][number] for number in range(n_classes[dataset])]
            _publish(root, dataset, "".join(ordered))
        if progress is not None:
            progress(n_done, len(tasks), dataset)


def _publish(root: Path, dataset: str, class_digests: str) -> None:
    """Add the split file, rename the dataset into place and note it in the manifest; the manifest comes last."""
    partial, final = partial_folder(root, dataset), root / folder_name(dataset)
    split_text = json.dumps(split_document(dataset))
    bank_text = json.dumps(description_bank(dataset), indent=1)
    (partial / split_file_name(dataset)).write_text(split_text)
    _bank_file(root, dataset).parent.mkdir(exist_ok=True)
    write_atomically(_bank_file(root, dataset), bank_text)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    texts = {"pixels": class_digests, "split": split_text, "descriptions": bank_text}
    hashes = {part: hashlib.sha256(text.encode()).hexdigest() for part, text in texts.items()}
    manifest = {"version": GRID_VERSION, "datasets": {**read_manifest(root), dataset: hashes}}
    write_atomically(root / MANIFEST_NAME, json.dumps(manifest, indent=1, sort_keys=True))


def _bank_file(root: Path, dataset: str) -> Path:
    return root / DESCRIPTIONS_FOLDER / f"{dataset}.json"
