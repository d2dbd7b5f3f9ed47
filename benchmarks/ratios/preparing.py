"""A data root prepared by links against copying its files, and checked: Food101's numbers of classes and images.

Files are small, which favours copying: real images are ten times as large. Each turn fills a folder of its own, since
removing what the last one left can take longer than filling it. Paths are short: ext4 keeps a link of up to 59 bytes in
its inode, and gives a longer one a block, as it does a small file.
"""

import json
import resource
import shutil
import tempfile
from itertools import count
from pathlib import Path

from benchmarks.measuring import Clock, Row, Run, counted, duration, ratio
from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.checking.examination import examine
from dualpt.core.data.preparing.execution import carry_out
from dualpt.core.data.preparing.planner import look_around, plan_datasets
from dualpt.core.data.preparing.steps import DatasetPlan
from dualpt.core.data.splits import PARTS

DATASET = dataset_info("Food101")
N_CLASSES, IMAGES_PER_CLASS = 100, 1000
FILE_BYTES = 4096
COPY, FOLDER_LINKS, FILE_LINKS = "copying", "a link per folder", "a link per file"
AGAIN, CHECK = "a second run", "data check"
CLOCKS: tuple[Clock, ...] = ("wall", "cpu")


def prepared_root(run: Run) -> list[Row]:
    """Time a copy, `data prepare` by links of both kinds, a second run and `data check`, each by both clocks."""
    per_class = 4 if run.quick else IMAGES_PER_CLASS
    before = _peak_mib()
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        have, split = Path(folder, "have"), Path(folder, "clone")
        n_files = _build(have, split, per_class)
        fresh = (Path(folder, str(number)) for number in count())
        root = Path(folder, "root")
        _prepare(have, split, root)
        times = run.by_both_clocks(
            {
                COPY: lambda: shutil.copytree(have, next(fresh)),
                FOLDER_LINKS: lambda: _prepare(have, split, next(fresh)),
                FILE_LINKS: lambda: _prepare(have, split, next(fresh), folders_exist=True),
                AGAIN: lambda: _plan(have, split, root),
                CHECK: lambda: examine(DATASET, root),
            }
        )
    rows = []
    for clock in CLOCKS:
        seconds = times[clock]
        rows += [duration(f"prepare/{clock}/{what}", f"{what}, {clock}", seconds[what]) for what in seconds]
        for links, aim in ((FOLDER_LINKS, "at least 10"), (FILE_LINKS, "")):
            title = f"{n_files} files, {clock}: copied / {links}"
            rows.append(ratio(f"prepare/{clock}/copied / {links}", title, seconds[COPY], seconds[links], aim))
    return [*rows, counted("prepare/memory", "peak memory grows by", _peak_mib() - before, "MiB")]


def _build(have: Path, split: Path, per_class: int) -> int:
    parts: dict[str, list[tuple[str, int, str]]] = {part: [] for part in PARTS}
    for label in range(N_CLASSES):
        images = have / "Food101" / "images" / f"class_{label:03d}"
        images.mkdir(parents=True)
        for number in range(per_class):
            (images / f"{label}{number:04d}.jpg").write_bytes(b"\xff\xd8" * (FILE_BYTES // 2))
            part = PARTS[number % 4 % 3]
            parts[part].append((f"{images.name}/{label}{number:04d}.jpg", label, images.name))
    split.mkdir()
    (split / DATASET.split_file).write_text(json.dumps(parts))
    return N_CLASSES * per_class


def _prepare(have: Path, split: Path, root: Path, *, folders_exist: bool = False) -> None:
    """From nothing, as the first run does; class folders that exist already get a link per file."""
    if folders_exist:
        for label in range(N_CLASSES):
            (DATASET.image_root(root) / f"class_{label:03d}").mkdir(parents=True)
    carry_out(_plan(have, split, root), root, copy=False, progress=lambda done: None)


def _plan(have: Path, split: Path, root: Path) -> DatasetPlan:
    """All that a second run does."""
    (plan,) = plan_datasets(look_around([have], [split], root), root, [DATASET.name])
    return plan


def _peak_mib() -> float:
    """Most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
