"""ImageNet and its four variants: the folders decide, so class folders are found and not file names.

`val` comes flat in its archive, and is refused without what sorts it (`validation_order`). Files that aren't images are
left out, since every visible file in a class folder counts as one.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from dualpt.core.data.catalog import IMAGENET_VARIANTS, dataset_info
from dualpt.core.data.class_folders import CLASS_NAMES_FILE, class_folders, read_wnid_names
from dualpt.core.data.preparing.archive_targets import each_once
from dualpt.core.data.preparing.imagenet_parts import TRAIN, VAL, Part, train_parts, val_parts, variant_parts
from dualpt.core.data.preparing.sources.glances import Glance
from dualpt.core.data.preparing.sources.layouts import KNOWN
from dualpt.core.data.preparing.sources.survey import WNID, Survey
from dualpt.core.data.preparing.standing import standing
from dualpt.core.data.preparing.steps import DatasetPlan
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import listing
from dualpt.core.errors import UserError

NO_NAMES = (
    f"the class names are missing: {CLASS_NAMES_FILE} with lines '<wnid> <name>' (the link in CoOp's DATASETS.md, or "
    "gallop/datasets/files/imagenet_clip_classnames.txt of github.com/MarcLafon/gallop); name its folder by --splits"
)


def class_names(surveys: Sequence[Survey]) -> bytes | None:
    """The first list of ImageNet's class names that can be read, as bytes."""
    for path in (path for survey in surveys for path in survey.ending("classnames.txt")):
        try:
            names = read_wnid_names(path)
        except UserError:
            continue
        if names and all(WNID.fullmatch(wnid) for wnid in names):
            return "".join(f"{wnid} {name}\n" for wnid, name in names.items()).encode()
    return None


def plan_family(survey: Survey, beside: Sequence[Survey], glances: Sequence[Glance], root: Path) -> list[DatasetPlan]:
    """Plan ImageNet and its variants.

    Args:
        survey: of the folders that hold images.
        beside: of all folders, where lists are looked for.
        glances: of the archives in them.
        root: the data root, whose own list of class names also serves.
    """
    names = class_names(beside) or _names_in(root)
    return [
        _there("ImageNet", root) or _plan_imagenet(survey, glances, names, root),
        *(_there(name, root) or _plan_variant(name, survey, glances, names, root) for name in IMAGENET_VARIANTS),
    ]


def _there(name: str, root: Path) -> DatasetPlan | None:
    """The plan for a dataset that the data root holds: to do nothing."""
    info = dataset_info(name)
    try:
        split = read_split(info, root)
    except UserError:
        return None
    return DatasetPlan(info=info, state="there", n_listed=len(split.train) + len(split.test), split=split)


def _holds_folders(folder: Path) -> bool:
    """Whether a part of ImageNet lies in the data root already."""
    return folder.is_dir() and any(each.is_dir() for each in folder.iterdir())


def _names_in(root: Path) -> bytes | None:
    path = root / dataset_info("ImageNet").folder / CLASS_NAMES_FILE
    return path.read_bytes() if path.is_file() else None


def _plan_variant(name: str, survey: Survey, glances: Sequence[Glance], names: bytes | None, root: Path) -> DatasetPlan:
    try:
        return _plan_of(name, list(islice(variant_parts(name, survey, glances), 1)), names, root)
    except UserError as fault:
        return DatasetPlan(info=dataset_info(name), state="refused", remedy=str(fault))


def _plan_imagenet(survey: Survey, glances: Sequence[Glance], names: bytes | None, root: Path) -> DatasetPlan:
    info = dataset_info("ImageNet")
    try:
        train = next(train_parts(survey, glances), None)
        val = next(val_parts(survey, glances), None)
    except UserError as fault:
        return DatasetPlan(info=info, state="refused", remedy=str(fault))
    parts = [part for part in (train, val) if part is not None]
    if not parts:
        return _plan_of(info.name, parts, names, root)
    found = (("train", train), ("val", val))
    absent = [name for name, part in found if part is None and not _holds_folders(info.image_root(root) / name)]
    lacking = f"{' and '.join(absent)} images are missing; get {KNOWN['ImageNet'].get}" if absent else ""
    if train and val and train.classes and val.classes and (odd := sorted(train.classes ^ val.classes)):
        lacking = f"class folders {listing(odd)} are in one of train and val only; complete them"
    return _plan_of("ImageNet", parts, names, root, lacking)


def _plan_of(name: str, parts: Sequence[Part], names: bytes | None, root: Path, lacking: str = "") -> DatasetPlan:
    info = dataset_info(name)
    sources = tuple(dict.fromkeys(part.source for part in parts))
    if not parts:
        return DatasetPlan(info=info, state="absent", remedy=f"get {KNOWN[name].get}")
    if lacking or names is None:
        return DatasetPlan(info=info, state="refused", sources=sources, remedy=lacking or NO_NAMES)
    files = {path: source for part in parts for path, source in part.files.items()}
    planned = {part.folder for part in parts}
    others = [path for path in (TRAIN, VAL) if path not in planned] if name == "ImageNet" else []
    # Whatever comes out of an archive will lie below its folder, under any name.
    there = standing(root / info.folder, frozenset([*files, *(f"{folder}/*" for folder in planned), *others]))
    files |= _class_links({path: to for path, to in there.linked.items() if path in others})
    if there.blocked_by:
        lacking = f"{there.blocked_by} is a link; remove it and run again"
        return DatasetPlan(info=info, state="refused", sources=sources, remedy=lacking)
    return DatasetPlan(
        info=info,
        state="ready",
        sources=sources,
        files=files,
        solid=(
            *(path for part in parts for path in part.solid),
            *(part.folder for part in parts if part.archives),
            *there.folders,
        ),
        archives=each_once(step for part in parts for step in part.archives),
        texts={} if (root / info.folder / CLASS_NAMES_FILE).exists() else {CLASS_NAMES_FILE: names},
    )


def _class_links(linked: Mapping[str, str]) -> dict[str, str]:
    """The class folders that links of an earlier run show in `train` or `val`, which this plan doesn't fill."""
    return {f"{path}/{wnid}": f"{to}/{wnid}" for path, to in linked.items() for wnid in class_folders(Path(to))}
