"""Why a data root doesn't work, dataset by dataset: what lies there in place of what should, and what to do.

It is examined as `dualpt data check` does, and looked through as `dualpt data prepare` does, which knows the copies
that people have. What looks odd and is as published is said too, so nobody repairs it.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualpt.core.data.catalog import IMAGENET_VARIANTS, DatasetInfo
from dualpt.core.data.checking import linked_sources
from dualpt.core.data.checking.examination import examine
from dualpt.core.data.class_folders import IMAGE_SUFFIXES
from dualpt.core.data.preparing.planner import look_around, plan_datasets
from dualpt.core.data.preparing.standing import our_links
from dualpt.core.data.preparing.steps import DatasetPlan
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import PARTS, Split, listing

OTHER_FORMATS = (b"GIF8", b"\x89PNG", b"BM", b"RIFF")
"""First bytes of files that aren't JPEG."""
MIXED_FORMATS = ("OxfordPets", "SUN397")
"""Datasets of which some files called .jpg hold another format, as published."""
AS_IT_SHOULD_BE = {
    "Caltech101": "BACKGROUND_Google and Faces_easy are left out by the field's split; they may stay",
    "OxfordFlowers": "setid.mat isn't used: the field's split is CoOp's own, half of each class for training",
    "Food101": "meta/train.json isn't used: the field's split is CoOp's own",
    "DescribableTextures": "labels/train1.txt and the like aren't used: the field's split is CoOp's own",
    "SUN397": "only 100 images of each class are in the field's split; the others may stay",
}
"""What makes people think that a dataset is wrong when images are in no part."""


@dataclass(frozen=True)
class Diagnosis:
    """One dataset of a data root."""

    dataset: str
    fine: bool
    found: bool
    """Whether anything of it is there, under whatever name."""
    causes: tuple[str, ...] = ()
    """What is wrong."""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    """What looks odd and isn't wrong."""


def diagnose(root: Path) -> list[Diagnosis]:
    """Look into a data root; nothing is written.

    Raises:
        UserError: there is no such folder.
    """
    plans = plan_datasets(look_around([root], [], root), root)
    diagnoses = (_of_one(plan, root) for plan in plans)
    return [each for each in diagnoses if each.found or each.dataset not in IMAGENET_VARIANTS]


def _of_one(plan: DatasetPlan, root: Path) -> Diagnosis:
    info, split = plan.info, _split_in_place(plan, root)
    report = examine(info, root, split=split)
    if report.fine:
        split = split or read_split(info, root)
        strays = [AS_IT_SHOULD_BE[info.name]] if report.stray and info.name in AS_IT_SHOULD_BE else []
        images = [item.path for part in PARTS for item in getattr(split, part)]
        odd = tuple(_odd_files(info, images))
        changed = linked_sources.changed(info, root, images)
        notes = (*plan.remarks, *strays, *_other_formats(info, root, images), *changed)
        return Diagnosis(info.name, fine=not odd, found=True, causes=odd, notes=notes)
    moved = tuple(linked_sources.gone(root / info.folder))
    causes = [*moved, *_where_it_lies(plan, root), *plan.traps]
    if report.fault and not causes:
        causes.append(report.fault)
    if report.missing:
        where = "".join(linked_sources.incomplete(info, root, report.missing))
        causes.insert(0, f"{len(report.missing)} listed images aren't there: {listing(report.missing)}{where}")
    if report.leaked:
        causes.append(f"{len(report.leaked)} test images are also for training or validation: {listing(report.leaked)}")
    found = report.found or plan.state != "absent"
    prepare = f"run `dualpt data prepare {info.name} --from {root} --root {root}`"
    relink = f"if it was moved, run `dualpt data prepare {info.name} --from WHERE-IT-IS --root {root}`"
    now = [prepare] if plan.will_be_done else [relink] if moved and our_links(root / info.folder) else []
    remedies = now + ([plan.remedy] if plan.remedy else [])
    return Diagnosis(
        info.name, fine=False, found=found, causes=tuple(causes), remedy="; ".join(remedies), notes=plan.remarks
    )


def _split_in_place(plan: DatasetPlan, root: Path) -> Split | None:
    """The split that lies in the data root, where planning has read it: of ImageNet that takes listing its folders."""
    complete = not plan.texts  # which are lists that the data root lacks
    return plan.split if complete and plan.info.image_root(root).is_dir() else None


def _where_it_lies(plan: DatasetPlan, root: Path) -> Iterator[str]:
    """Images that were found where they aren't looked for."""
    if not plan.will_be_done:
        return
    wanted = plan.info.image_root(root)
    for source in plan.sources:
        if source.n_files is None:
            yield f"images are still in {source.path}, and not in {wanted}"
        elif wanted.exists() and os.path.samefile(source.path, wanted):
            yield f"{source.n_files} images lie in class folders that are spelt differently in the split"
        else:
            yield f"{source.n_files} images lie in {source.path} ({source.found_as}), and not in {wanted}"
    for name in plan.texts:
        if not (root / plan.info.folder / name).exists():
            yield f"{plan.info.folder}/{name} isn't there, but lies elsewhere under {root}"


def _other_formats(info: DatasetInfo, root: Path, images: Iterable[str]) -> Iterator[str]:
    """Files called .jpg that hold another format."""
    if info.name not in MIXED_FORMATS:
        return
    image_root = info.image_root(root)
    jpegs = (path for path in images if path.endswith(".jpg"))
    if odd := [path for path in jpegs if _starts_with(image_root / path, OTHER_FORMATS)]:
        yield f"files called .jpg that hold GIF, PNG or BMP: {len(odd)} ({listing(odd)}); they're read by content"


def _starts_with(path: Path, starts: Sequence[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(tuple(starts))
    except OSError:
        return False


def _odd_files(info: DatasetInfo, images: Iterable[str]) -> Iterator[str]:
    """Files in the class folders of ImageNet and its variants that count as images and aren't."""
    if info.layout in ("split file", "aircraft"):
        return
    if odd := [path for path in images if os.path.splitext(path)[1].lower() not in IMAGE_SUFFIXES]:
        yield f"files in class folders that aren't images, but count as such: {len(odd)} ({listing(odd)}); remove them"
