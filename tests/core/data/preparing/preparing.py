"""Preparing in one call, and what to compare afterwards."""

import hashlib
from pathlib import Path

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.preparing.execution import carry_out
from dualpt.core.data.preparing.planner import look_around, plan_datasets
from dualpt.core.data.preparing.steps import DatasetPlan
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import PARTS

TEXTURES = "DescribableTextures"


def plan_of(name: str, source: Path, root: Path, splits: Path | None = None) -> DatasetPlan:
    """The plan for one dataset."""
    (plan,) = plan_datasets(look_around([source], [splits] if splits else [], root), root, [name])
    return plan


def prepare(name: str, source: Path, root: Path, splits: Path | None = None, *, copy: bool = False) -> DatasetPlan:
    """Plan one dataset and carry it out."""
    plan = plan_of(name, source, root, splits)
    assert plan.will_be_done, plan.remedy
    carry_out(plan, root, copy=copy, progress=lambda done: None)
    return plan


def fingerprints(name: str, root: Path) -> tuple[str, dict[str, bytes]]:
    """The split's fingerprint, and the content of every image it lists."""
    info = dataset_info(name)
    split = read_split(info, root)
    paths = [item.path for part in PARTS for item in getattr(split, part)]
    return split.fingerprint, {path: (info.image_root(root) / path).read_bytes() for path in paths}


def snapshot(folder: Path) -> dict[str, str]:
    """Every file of a tree and a hash of it, to see that nothing was written."""
    return {
        str(path.relative_to(folder)): "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }
