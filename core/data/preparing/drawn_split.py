"""A split drawn here where the field's can't be had: half of each class for training, a fifth for validation.

Those are CoOp's shares where it divided a dataset itself, but not its images: the split says so, and every table that
uses it repeats that. Classes are what the paths of images say, named as CoOp names them.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.preparing.sources.archives import members
from dualpt.core.data.preparing.sources.found_splits import Listing
from dualpt.core.data.preparing.sources.layouts import CLONES, archive_of, whose_layout
from dualpt.core.data.preparing.sources.name_match import is_image
from dualpt.core.data.preparing.sources.survey import Survey
from dualpt.core.data.split_file import DRAWN_KEY, NOT_THE_FIELDS, parse_split

TRAIN_SHARE, VAL_SHARE = 0.5, 0.2
EUROSAT = {
    "AnnualCrop": "Annual Crop Land",
    "HerbaceousVegetation": "Herbaceous Vegetation Land",
    "Highway": "Highway or Road",
    "Industrial": "Industrial Buildings",
    "Pasture": "Pasture Land",
    "PermanentCrop": "Permanent Crop Land",
    "Residential": "Residential Buildings",
    "SeaLake": "Sea or Lake",
}
CALTECH = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}
CALTECH_LEFT_OUT = ("BACKGROUND_Google", "Faces_easy")


def _place(name: str) -> str:
    """SUN397's `a/apse/indoor` is an indoor apse."""
    return " ".join(reversed(name.split("/")[1:]))


def _action(name: str) -> str:
    """UCF101's `ApplyEyeMakeup`, or the same with underscores already."""
    return "_".join(re.findall("[A-Z][^A-Z]*", name.replace("_", "")))


CLASS_OF: Mapping[str, Callable[[str], str]] = {
    "Caltech101": lambda folder: CALTECH.get(folder, folder),
    "Food101": str,
    "SUN397": _place,
    "DescribableTextures": str,
    "EuroSAT": lambda folder: EUROSAT.get(folder, folder),
    "UCF101": _action,
}
"""Class name from a class folder's path; Pets say it in file names, Flowers and Cars in MATLAB files."""


DRAWABLE = (*CLASS_OF, "OxfordPets")


def how_to_get(info: DatasetInfo) -> str:
    """The remedy for a split file that is nowhere."""
    if info.layout == "aircraft":
        return "variants.txt and images_variant_{train,val,test}.txt are missing; they lie in data/ of the archive"
    missing = f"the split file {info.split_file} is missing: {CLONES}; name its folder by --splits"
    offer = f", or draw a split by --make-split SEED, which every table then calls {NOT_THE_FIELDS}"
    return f"{missing}{offer if info.name in DRAWABLE else ''}"


def drawn_split(info: DatasetInfo, survey: Survey, seed: int) -> Listing | None:
    """Divide the images that were found of a dataset.

    Args:
        info: the dataset.
        survey: of the folders that hold images; archives are read through for their names.
        seed: of the draw, which depends on nothing else but the names.

    Returns:
        The split, as the file that it will be; None where no images were found or their paths don't say the classes.

    Raises:
        UserError: a damaged archive, or a class of which only one image was found.
    """
    if info.name not in DRAWABLE:
        return None
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for path in _images_of(info, survey):
        folder, _, name = path.rpartition("/")
        if info.name == "OxfordPets":
            classes[name.rpartition("_")[0].lower()].add(name)
        elif folder and folder not in CALTECH_LEFT_OUT:
            named = CLASS_OF[info.name](folder)
            classes[named].add(f"{named}/{name}" if info.name == "UCF101" else path)
    if not classes:
        return None
    how = f"drawn by `dualpt data prepare --make-split {seed}`"
    content = json.dumps({DRAWN_KEY: how, **_divided(classes, seed)}).encode()
    split = parse_split(content.decode(), Path(info.split_file))
    return Listing(split, {info.split_file: content}, (split.note,))


def _divided(classes: Mapping[str, Iterable[str]], seed: int) -> dict[str, list[tuple[str, int, str]]]:
    """The three lists of a split file."""
    draw = Random(seed)
    parts: dict[str, list[tuple[str, int, str]]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(sorted(classes)):
        paths = sorted(classes[name])
        draw.shuffle(paths)
        n_train = max(1, round(TRAIN_SHARE * len(paths)))
        n_val = max(0, min(round(VAL_SHARE * len(paths)), len(paths) - n_train - 1))
        cuts = (paths[:n_train], paths[n_train : n_train + n_val], paths[n_train + n_val :])
        for part, chosen in zip(parts.values(), cuts, strict=True):
            part += [(path, label, name) for path in chosen]
    return parts


def _images_of(info: DatasetInfo, survey: Survey) -> Iterable[str]:
    """Paths of a dataset's images under its image folder: where most lie."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for where, path in _paths(info, survey):
        if (above := _image_folder(info.name, path)) is not None:
            found[where + above].append(path[len(above) + 1 :])
    return max(found.values(), key=len, default=())


def _paths(info: DatasetInfo, survey: Survey) -> Iterator[tuple[str, str]]:
    """Images: the archive they lie in, or nothing, and their path, which begins in the dataset's folder there."""
    for folder, names in survey.files.items():
        yield from (("", f"{folder}/{name}") for name in names if is_image(name))
    for archive in survey.archives:
        if archive_of(archive.name) == info.name:
            inside = (f"/{info.folder}/{member.path}" for member in members(archive))
            yield from ((str(archive), path) for path in inside if is_image(path.rpartition("/")[2]))


def _image_folder(dataset: str, path: str) -> str | None:
    """The folder in a path that looks like the dataset's image folder, the deepest."""
    parts: Sequence[str] = path.split("/")[:-1]
    folders = ("/".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((folder for folder in folders if whose_layout(dataset, folder) is not None), None)
