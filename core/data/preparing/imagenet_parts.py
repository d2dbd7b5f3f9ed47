"""Where the images of ImageNet and its variants lie: class folders, flat validation images, and archives."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from dualpt.core.data.catalog import dataset_info
from dualpt.core.data.preparing.archive_targets import (
    ANYWHERE,
    CLASS_TAR,
    IN_CLASS,
    IN_NUMBER,
    KAGGLE_TRAIN,
    KAGGLE_VAL,
    is_kaggles,
    to_class,
    to_folder,
    to_sorted,
)
from dualpt.core.data.preparing.sources.glances import Glance
from dualpt.core.data.preparing.sources.layouts import found_as
from dualpt.core.data.preparing.sources.name_match import is_image
from dualpt.core.data.preparing.sources.survey import WNID, Survey
from dualpt.core.data.preparing.steps import ArchiveStep, Source
from dualpt.core.data.preparing.validation_order import VAL_IMAGE, class_of, validation_order
from dualpt.core.errors import UserError

TRAIN, VAL = "images/train", "images/val"
"""Where the two parts of ImageNet belong in its folder."""
NUMBER = re.compile(r"\d{1,3}")
"""ImageNet-V2's folders."""
MARKS: Mapping[str, re.Pattern[str]] = {
    "ImageNetSketch": re.compile(r"sketch"),
    "ImageNetA": re.compile(r"imagenet-?_?a(dversarial)?(/|$)"),
    "ImageNetR": re.compile(r"imagenet-?_?r(endition)?(/|$)"),
}
"""How the path to a variant's class folders looks in lower case."""
V2 = re.compile(r"imagenet[-_]?v2")
OTHER_V2 = re.compile(r"threshold|top-?images")
"""ImageNet-V2's other two samplings, on which no published number of the field rests."""


@dataclass
class Part:
    """The images of one dataset, or of ImageNet's `train` or `val`, from one place."""

    source: Source
    folder: str
    """Where its class folders belong, in the dataset's folder."""
    files: dict[str, str] = field(default_factory=dict)
    """Path in the dataset's folder -> the user's image, or class folder."""
    archives: list[ArchiveStep] = field(default_factory=list)
    solid: list[str] = field(default_factory=list)
    """Folders that a link can't replace: they lack what the user's hold beside images, or are sorted here."""
    classes: frozenset[str] = frozenset()


def train_parts(survey: Survey, glances: Sequence[Glance]) -> Iterator[Part]:
    """Places of ImageNet's training images, the best first."""
    for folder in _wnid_parents(survey):
        if _which(folder, survey) == "train":
            yield _class_folders(folder, survey, TRAIN, "ImageNet")
    for look in glances:
        if is_kaggles(look):
            step = ArchiveStep(look.path, partial(to_class, KAGGLE_TRAIN, TRAIN))
            yield Part(Source("Kaggle's archive", str(look.path), None), TRAIN, archives=[step])
        if any(re.match(r"(?:.*/)?n\d{8}\.tar/", path) for path in look.images):
            source = Source("the original archive", str(look.path), None)
            yield Part(source, TRAIN, archives=[ArchiveStep(look.path, partial(to_class, IN_CLASS, TRAIN))])
    by_class = sorted(path for path in survey.archives if CLASS_TAR.fullmatch(path.name))
    if by_class:
        source = Source(f"the original archive, unpacked into {len(by_class)} tars", str(by_class[0].parent), None)
        steps = [ArchiveStep(path, partial(to_folder, f"{TRAIN}/{path.stem}")) for path in by_class]
        yield Part(source, TRAIN, archives=steps, classes=frozenset(path.stem for path in by_class))


def val_parts(survey: Survey, glances: Sequence[Glance]) -> Iterator[Part]:
    """Places of ImageNet's validation images, the best first.

    Raises:
        UserError: flat ones without what sorts them.
    """
    for folder in _wnid_parents(survey):
        if _which(folder, survey) == "val":
            yield _class_folders(folder, survey, VAL, "ImageNet")
    for folder, files in survey.files.items():
        flat = [name for name in files if VAL_IMAGE.fullmatch(name)]
        if flat:
            sorted_into = validation_order(survey)
            targets = {f"{VAL}/{class_of(name, sorted_into)}/{name}": f"{folder}/{name}" for name in sorted(flat)}
            source = Source("the flat validation images", folder, len(flat))
            solid = sorted({path.rpartition("/")[0] for path in targets})
            yield Part(source, VAL, targets, solid=solid, classes=frozenset(sorted_into.values()))
    for look in glances:
        if is_kaggles(look):
            truth = validation_order(survey, look.path)
            step = ArchiveStep(look.path, partial(to_sorted, truth, KAGGLE_VAL))
            source = Source("Kaggle's archive", str(look.path), None)
            yield Part(source, VAL, archives=[step], classes=frozenset(truth.values()))
        elif any(VAL_IMAGE.fullmatch(path.rpartition("/")[2]) for path in look.images):
            truth = validation_order(survey)
            source = Source("the original archive", str(look.path), None)
            step = ArchiveStep(look.path, partial(to_sorted, truth, ANYWHERE))
            yield Part(source, VAL, archives=[step], classes=frozenset(truth.values()))


def variant_parts(name: str, survey: Survey, glances: Sequence[Glance]) -> Iterator[Part]:
    """Places of a variant's images, the best first."""
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
            yield Part(source, images, archives=[ArchiveStep(look.path, partial(to_class, IN_CLASS, images))])


def _v2_parts(survey: Survey, glances: Sequence[Glance], images: str) -> Iterator[Part]:
    for folder, inner in survey.folders.items():
        name = folder.rpartition("/")[2].lower()
        numbers = [each for each in inner if NUMBER.fullmatch(each)]
        if numbers and V2.match(name) and not OTHER_V2.search(name):
            yield _class_folders(folder, survey, images, "ImageNetV2", numbers)
    for look in glances:
        hits = [path for path in look.images if IN_NUMBER.fullmatch(path)]
        if hits and V2.search(f"{look.path.name} {hits[0]}".lower()) and not OTHER_V2.search(hits[0].lower()):
            source = Source("the original archive", str(look.path), None)
            yield Part(source, images, archives=[ArchiveStep(look.path, partial(to_class, IN_NUMBER, images))])


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
) -> Part:
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
    return Part(Source(label, folder, n_images), target, files=files, solid=solid, classes=frozenset(names))


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
