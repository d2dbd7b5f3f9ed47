"""The mini grid drawn once for all tests of a run: drawing a dataset takes seconds and processes, copying neither."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualpt.core.mini import grid
from dualpt.core.mini.datasets import RECIPES, folder_name

DRAW = grid._draw_datasets
"""As the package draws."""


@contextmanager
def drawn_once(shared: Path) -> Iterator[None]:
    """Within, what this process would draw is copied from `shared`, and drawn there the first time.

    Args:
        shared: a data root; several processes may share it.
    """

    def copied(root: Path, datasets: Sequence[str], progress: grid.Progress | None) -> None:
        if root == shared:
            DRAW(root, datasets, progress)
            return
        grid.ensure_mini_grid(shared, datasets)
        n_classes = sum(RECIPES[dataset].n_classes for dataset in datasets)
        n_done = 0
        for dataset in datasets:
            _copy(shared, root, dataset)
            n_done += RECIPES[dataset].n_classes
            if progress is not None:
                progress(n_done, n_classes, dataset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "_draw_datasets", copied)
        yield


def _copy(shared: Path, root: Path, dataset: str) -> None:
    shutil.copytree(shared / folder_name(dataset), root / folder_name(dataset), dirs_exist_ok=True)
    (root / grid.DESCRIPTIONS_FOLDER).mkdir(exist_ok=True)
    bank = Path(grid.DESCRIPTIONS_FOLDER, f"{dataset}.json")
    shutil.copyfile(shared / bank, root / bank)
    complete = {**grid.read_manifest(root), dataset: grid.read_manifest(shared)[dataset]}
    (root / grid.MANIFEST_NAME).write_text(json.dumps({"version": grid.GRID_VERSION, "datasets": complete}))
