"""ImageNet and its four variants: the folders decide, so class folders are found and not file names.

`val` comes flat in its archive, and is refused without what sorts it (`validation_order`). Files that aren't images are
left out, since every visible file in a class folder counts as one.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from dualpt.core.data.catalog import IMAGENET_VARIANTS, dataset_info
from dualpt.core.data.class_folders import CLASS_NAMES_FILE, read_wnid_names
from dualpt.core.data.preparing.archive_targets import (
    ANYWHERE,
    CLASS_TAR,
    IN_CLASS,
    IN_NUMBER,
    KAGGLE_TRAIN,
    KAGGLE_VAL,
    each_once,
    is_kaggles,
    to_class,
    to_folder,
    to_sorted,
)
from dualpt.core.data.preparing.sources.glances import Glance
from dualpt.core.data.preparing.sources.layouts import KNOWN, found_as
from dualpt.core.data.preparing.sources.name_match import is_image
from dualpt.core.data.preparing.sources.survey import WNID, Survey
from dualpt.core.data.preparing.standing import standing
from dualpt.core.data.preparing.steps import ArchiveStep, DatasetPlan, Source
from dualpt.core.data.preparing.validation_order import VAL_IMAGE, class_of, validation_order
from dualpt.core.data.readers import read_split
from dualpt.core.data.splits import listing
from dualpt.core.errors import UserError

NUMBER = re.compile(r"\d{1,3}")
"""ImageNet-V2's folders."""
MARKS: Mapping[str, re.Pattern[str]] = {
    "ImageNetSketch": re.compile(r"sketch"),
    "ImageNetA": re.compile(r"imagenet-?_?a(dversarial)?(/|$)"),
    "ImageNetR": re.compile(r"imagenet-?_?r(endition)?(/|$)"),
}
"""How the path to a variant's class folders looks in lower case."""
OTHER_V2 = re.compile(r"threshold|top-?images")
"""ImageNet-V2's other two samplings, on which no published number of the field rests."""
NO_NAMES = (
    f"the class names are missing: {CLASS_NAMES_FILE} with lines '<wnid> <name>' (the link in CoOp's DATASETS.md, or "
    "gallop/datasets/files/imagenet_clip_classnames.txt of github.com/MarcLafon/gallop); name its folder by --splits"
)


@dataclass
class _Part:
    """The images of one dataset, or of ImageNet's `train` or `val`, from one place."""

    source: Source
    folder: str
    """Where its class folders belong, in the dataset's folder."""
    files: dict[str, str] = field(default_factory=dict)
    archives: list[ArchiveStep] = field(default_factory=list)
    solid: list[str] = field(default_factory=list)
    classes: frozenset[str] = frozenset()


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
    return DatasetPlan(info=info, state="there", n_listed=len(split.train) + len(split.test))


def _holds_folders(folder: Path) -> bool:
    """Whether a part of ImageNet lies in the data root already."""
    return folder.is_dir() and any(each.is_dir() for each in folder.iterdir())


def _names_in(root: Path) -> bytes | None:
    path = root / dataset_info("ImageNet").folder / CLASS_NAMES_FILE
    return path.read_bytes() if path.is_file() else None


def _plan_variant(name: str, survey: Survey, glances: Sequence[Glance], names: bytes | None, root: Path) -> DatasetPlan:
    try:
        return _plan_of(name, list(islice(_variant_parts(name, survey, glances), 1)), names, root)
    except UserError as fault:
        return DatasetPlan(info=dataset_info(name), state="refused", remedy=str(fault))


def _plan_imagenet(survey: Survey, glances: Sequence[Glance], names: bytes | None, root: Path) -> DatasetPlan:
    info = dataset_info("ImageNet")
    try:
        train = next(_train_parts(survey, glances), None)
        val = next(_val_parts(survey, glances), None)
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


def _plan_of(name: str, parts: Sequence[_Part], names: bytes | None, root: Path, lacking: str = "") -> DatasetPlan:
    info = dataset_info(name)
    sources = tuple(dict.fromkeys(part.source for part in parts))
    if not parts:
        return DatasetPlan(info=info, state="absent", remedy=f"get {KNOWN[name].get}")
    if lacking or names is None:
        return DatasetPlan(info=info, state="refused", sources=sources, remedy=lacking or NO_NAMES)
    files = {path: source for part in parts for path, source in part.files.items()}
    # Whatever comes out of an archive will lie below its folder, under any name.
    there = standing(root / info.folder, [*files, *(f"{part.folder}/*" for part in parts)])
    if there.blocked_by:
        lacking = f"{there.blocked_by} is a link; remove it and run again"
        return DatasetPlan(info=info, state="refused", sources=sources, remedy=lacking)
    return DatasetPlan(
        info=info,
        state="ready",
        sources=sources,
        files=files,
        solid=(*(path for part in parts for path in part.solid), *there.folders),
        archives=each_once(step for part in parts for step in part.archives),
        texts={} if (root / info.folder / CLASS_NAMES_FILE).exists() else {CLASS_NAMES_FILE: names},
    )


# ---- where the parts lie


def _train_parts(survey: Survey, glances: Sequence[Glance]) -> Iterator[_Part]:
    for folder in _wnid_parents(survey):
        if _which(folder, survey) == "train":
            yield _class_folders(folder, survey, "images/train", "ImageNet")
    for look in glances:
        if is_kaggles(look):
            step = ArchiveStep(look.path, partial(to_class, KAGGLE_TRAIN, "images/train"))
            yield _Part(Source("Kaggle's archive", str(look.path), None), "images/train", archives=[step])
        if any(re.match(r"(?:.*/)?n\d{8}\.tar/", path) for path in look.images):
            source = Source("the original archive", str(look.path), None)
            yield _Part(
                source, "images/train", archives=[ArchiveStep(look.path, partial(to_class, IN_CLASS, "images/train"))]
            )
    by_class = sorted(path for path in survey.archives if CLASS_TAR.fullmatch(path.name))
    if by_class:
        source = Source(f"the original archive, unpacked into {len(by_class)} tars", str(by_class[0].parent), None)
        steps = [ArchiveStep(path, partial(to_folder, f"images/train/{path.stem}")) for path in by_class]
        yield _Part(source, "images/train", archives=steps, classes=frozenset(path.stem for path in by_class))


def _val_parts(survey: Survey, glances: Sequence[Glance]) -> Iterator[_Part]:
    for folder in _wnid_parents(survey):
        if _which(folder, survey) == "val":
            yield _class_folders(folder, survey, "images/val", "ImageNet")
    for folder, files in survey.files.items():
        flat = [name for name in files if VAL_IMAGE.fullmatch(name)]
        if flat:
            sorted_into = validation_order(survey)
            targets = {f"images/val/{class_of(name, sorted_into)}/{name}": f"{folder}/{name}" for name in sorted(flat)}
            source = Source("the flat validation images", folder, len(flat))
            solid = sorted({path.rpartition("/")[0] for path in targets})
            yield _Part(source, "images/val", targets, solid=solid, classes=frozenset(sorted_into.values()))
    for look in glances:
        if is_kaggles(look):
            truth = validation_order(survey, look.path)
            step = ArchiveStep(look.path, partial(to_sorted, truth, KAGGLE_VAL))
            source = Source("Kaggle's archive", str(look.path), None)
            yield _Part(source, "images/val", archives=[step], classes=frozenset(truth.values()))
        elif any(VAL_IMAGE.fullmatch(path.rpartition("/")[2]) for path in look.images):
            truth = validation_order(survey)
            source = Source("the original archive", str(look.path), None)
            step = ArchiveStep(look.path, partial(to_sorted, truth, ANYWHERE))
            yield _Part(source, "images/val", archives=[step], classes=frozenset(truth.values()))


def _variant_parts(name: str, survey: Survey, glances: Sequence[Glance]) -> Iterator[_Part]:
    images = dataset_info(name).image_folder
    if name == "ImageNetV2":
        yield from _v2_parts(survey, glances, images)
        return
    for folder in _wnid_parents(survey):
        if _which(folder, survey) == name:
            yield _class_folders(folder, survey, images, name)
    for look in glances:
        hits = [path for path in look.images if IN_CLASS.fullmatch(path) and ".tar/" not in path]
        if hits and (MARKS[name].search(hits[0].lower()) or MARKS[name].search(look.path.name.lower().split(".")[0])):
            source = Source("the original archive", str(look.path), None)
            yield _Part(source, images, archives=[ArchiveStep(look.path, partial(to_class, IN_CLASS, images))])


def _v2_parts(survey: Survey, glances: Sequence[Glance], images: str) -> Iterator[_Part]:
    for folder, inner in survey.folders.items():
        name = folder.rpartition("/")[2].lower()
        numbers = [each for each in inner if NUMBER.fullmatch(each)]
        if numbers and name.startswith("imagenetv2") and not OTHER_V2.search(name):
            yield _class_folders(folder, survey, images, "ImageNetV2", numbers)
    for look in glances:
        hits = [path for path in look.images if IN_NUMBER.fullmatch(path)]
        if hits and "imagenetv2" in f"{look.path.name} {hits[0]}".lower() and not OTHER_V2.search(hits[0].lower()):
            source = Source("the original archive", str(look.path), None)
            yield _Part(source, images, archives=[ArchiveStep(look.path, partial(to_class, IN_NUMBER, images))])


def _wnid_parents(survey: Survey) -> list[str]:
    """Folders of class folders, those with the most first; `train` and `val` of the same tree stand together."""
    counts = {folder: sum(map(bool, map(WNID.fullmatch, inner))) for folder, inner in survey.folders.items()}
    return sorted((folder for folder, n in counts.items() if n), key=lambda folder: (-counts[folder], folder))


def _which(folder: str, survey: Survey) -> str | None:
    """What class folders hold: `train`, `val`, or a variant; by their path, else by the name of an image."""
    path = folder.casefold()
    tail = "/".join(path.split("/")[-3:])
    for name, mark in MARKS.items():
        if mark.search(tail):
            return name
    last = path.rpartition("/")[2]
    if re.fullmatch(r"(ilsvrc2012_img_)?train(ing)?", last):
        return "train"
    if re.fullmatch(r"(ilsvrc2012_img_)?val(idation)?", last):
        return "val"
    first = next((name for name in survey.folders[folder] if WNID.fullmatch(name)), "")
    image = next(iter(sorted(name for name, _ in _visible(os.path.join(folder, first)) if is_image(name))), "")
    if VAL_IMAGE.fullmatch(image):
        return "val"
    return "train" if re.fullmatch(rf"{first}_\d+\.JPEG", image) else None


def _class_folders(
    folder: str, survey: Survey, target: str, dataset: str, classes: Sequence[str] | None = None
) -> _Part:
    """Class folders that lie sorted; one that holds anything but images is taken file by file."""
    inner = survey.folders[folder]
    names = sorted(classes if classes is not None else filter(WNID.fullmatch, inner))
    files, n_images, solid = {}, 0, []
    for name in names:
        there = _visible(os.path.join(folder, name))
        images = [each for each, is_folder in there if not is_folder and is_image(each)]
        n_images += len(images)
        if len(images) == len(there):
            files[f"{target}/{name}"] = f"{folder}/{name}"
        else:
            solid.append(f"{target}/{name}")
            files |= {f"{target}/{name}/{each}": f"{folder}/{name}/{each}" for each in sorted(images)}
    if len(names) != len(inner):
        solid.append(target)  # other folders would count as classes
    label = found_as(dataset, folder.removesuffix("/train").removesuffix("/val"))
    return _Part(Source(label, folder, n_images), target, files=files, solid=solid, classes=frozenset(names))


def _visible(folder: str) -> list[tuple[str, bool]]:
    """Names in a folder, and whether each is a folder.

    Raises:
        UserError: it can't be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); set its permissions") from None
