"""Datasets whose folders say the classes: ImageNet and the test sets made for its classes; a user's own: `own_folders`.

Listings are sorted, so labels and draws do not depend on the file system; hidden files are left out.
"""

import os
from pathlib import Path

from dualpt.core.data.splits import Item, Split, listing, make_split
from dualpt.core.data.text_files import read_lines
from dualpt.core.errors import UserError

CLASS_NAMES_FILE = "classnames.txt"
IMAGE_SUFFIXES = frozenset(
    (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
"""Files of a user's class folders that count as images; those of published datasets are taken as they come."""


def read_imagenet(folder: Path, images: Path) -> Split:
    """`classnames.txt` and the folders of `images/{train,val}`; a label is the place of its sorted folder.

    The 50,000 images of `val` are the test set, as in the field; ImageNet has no validation split.

    Raises:
        UserError: missing or unmatched folders, or a faulty list of names.
    """
    names = read_wnid_names(folder / CLASS_NAMES_FILE)
    wnids = class_folders(images / "train")
    for part, found in (("train", wnids), ("val", class_folders(images / "val"))):
        odd = sorted(set(found) ^ set(wnids)) or sorted(set(found) - set(names))
        if odd:
            raise UserError(
                f"{images / part}: class folders {listing(odd)} do not match train/ and classnames.txt; complete them"
            )

    def items(part: str) -> list[Item]:
        return [
            Item(f"{part}/{wnid}/{file}", label, names[wnid])
            for label, wnid in enumerate(wnids)
            for file in visible(images / part / wnid)
        ]

    return make_split({"train": items("train"), "val": [], "test": items("val")}, images)


def read_wnid_folders(folder: Path, images: Path, imagenet: Path) -> Split:
    """ImageNet-Sketch, -A and -R: test images in folders called by WordNet id.

    Labels are places of the sorted folders, and the classes are those that have a folder: with 200 of them an image is
    classified among 200, as CoOp reports it.

    Raises:
        UserError: no folders, or one that is not in the list of names.
    """
    names = read_wnid_names(_names_file(folder, imagenet))
    wnids = class_folders(images)
    if unnamed := sorted(set(wnids) - set(names)):
        raise UserError(
            f"{images}: class folders {listing(unnamed)} are not in {CLASS_NAMES_FILE}; remove them or complete it"
        )
    test = [Item(f"{wnid}/{file}", k, names[wnid]) for k, wnid in enumerate(wnids) for file in visible(images / wnid)]
    return make_split({"train": [], "val": [], "test": test}, images, tests_only=True)


def read_numbered_folders(folder: Path, images: Path, imagenet: Path) -> Split:
    """ImageNet-V2: test images in folders called by ImageNet's label, 0 to 999 as text.

    Raises:
        UserError: folders that are not 0..C-1 for the C sorted WordNet ids of the list of names.
    """
    names = read_wnid_names(_names_file(folder, imagenet))
    found, expected = set(class_folders(images)), [str(label) for label in range(len(names))]
    if missing := [name for name in expected if name not in found]:
        raise UserError(f"{images}: class folders {listing(missing)} missing; unpack all of ImageNet-V2 there")
    if odd := sorted(found - set(expected)):
        raise UserError(f"{images}: class folders {listing(odd)} are not 0 to {len(names) - 1}; remove them")
    test = [
        Item(f"{label}/{file}", label, names[wnid])
        for label, wnid in enumerate(sorted(names))
        for file in visible(images / str(label))
    ]
    return make_split({"train": [], "val": [], "test": test}, images, tests_only=True)


def image_files(folder: Path) -> list[str]:
    """Sorted names of the image files in a user's folder."""
    return [name for name in visible(folder) if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def _names_file(folder: Path, imagenet: Path) -> Path:
    """The list beside the images, as CoOp wants it copied, else ImageNet's own."""
    own = folder / CLASS_NAMES_FILE
    return own if own.exists() or not (imagenet / CLASS_NAMES_FILE).exists() else imagenet / CLASS_NAMES_FILE


def read_wnid_names(source: Path) -> dict[str, str]:
    """`<wnid> <name>` a line; keyed by wnid because two names occur twice.

    Raises:
        UserError: a missing file, a line without a name, or a wnid with two lines.
    """
    names: dict[str, str] = {}
    for number, line in enumerate(read_lines(source, "the list of ImageNet's class names"), start=1):
        wnid, _, name = line.partition(" ")
        if not name.strip():
            raise UserError(f"{source}: line {number}: expected '<wnid> <name>', got '{line:.80}'")
        if wnid in names:
            raise UserError(f"{source}: line {number}: '{wnid}' has a line already; fetch the file again")
        names[wnid] = name.strip()
    return names


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the class folders.

    Raises:
        UserError: the folder is missing, or holds no folders.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; unpack the images there, one folder per class")
    found = [name for name in visible(folder) if (folder / name).is_dir()]
    if not found:
        raise UserError(f"{folder}: holds no class folders; sort its images into one folder per class")
    return found


def visible(folder: Path) -> list[str]:
    """Sorted names in a folder, without hidden ones."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); set its permissions") from None
