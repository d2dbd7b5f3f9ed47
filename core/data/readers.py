"""Read a dataset's split from the data root: one JSON split file, or the listings of ImageNet and FGVCAircraft."""

import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from core.data.catalog import DatasetInfo
from core.data.splits import PARTS, Item, Split, listing, make_split
from core.errors import UserError


def read_split(info: DatasetInfo, root: Path) -> Split:
    """Read and check the split of one dataset; images themselves are not opened (see `check_files`).

    Args:
        info: the dataset.
        root: the data root, the folder that holds `info.folder`.

    Raises:
        UserError: a missing folder or file, or a malformed split; the line names the file and the fault.
    """
    folder = root / info.folder
    if not root.is_dir():
        raise UserError(f"data.root: no folder '{root}'; set data.root to the folder that holds '{info.folder}/'")
    if not folder.is_dir():
        inside = root.name == info.folder
        remedy = f"did you mean '{root.parent}'?" if inside else "complete the data root or choose other datasets"
        raise UserError(f"data.root: '{root}' holds no folder '{info.folder}' ({info.name}); {remedy}")
    if not (images := info.image_root(root)).is_dir():
        raise UserError(f"{images}: the images of {info.name} are missing; unpack them there")
    readers = {"split file": _read_split_file, "imagenet": _read_imagenet, "aircraft": _read_aircraft}
    return readers[info.layout](info, folder)


def _read_split_file(info: DatasetInfo, folder: Path) -> Split:
    """A split file: `{"train": [[path, label, name], ...], "val": ..., "test": ...}`."""
    source = folder / info.split_file
    try:
        content = json.loads(_read_text(source, f"the split file of {info.name}"))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{source}: line {error.lineno}, column {error.colno}: not JSON ({error.msg}); fetch the file again"
        ) from None
    if not isinstance(content, dict) or not set(PARTS) <= set(content):
        raise UserError(f"{source}: expected an object with the lists 'train', 'val' and 'test'")
    return make_split({part: _items(content[part], part, source) for part in PARTS}, source)


def _items(entries: object, part: str, source: Path) -> list[Item]:
    """The checked entries of one part."""
    if not isinstance(entries, list):
        raise UserError(f"{source}: '{part}' must be a list of [path, label, class name]")
    items = []
    for index, entry in enumerate(entries):
        fault = _entry_fault(entry)
        if fault:
            raise UserError(f"{source}: '{part}' entry {index}: {fault}; expected [path, label, class name]")
        items.append(Item(*entry))
    return items


def _entry_fault(entry: object) -> str | None:
    """What is wrong with `[path, label, class name]`, or None."""
    if not isinstance(entry, list) or len(entry) != 3:
        return f"{entry!r:.80} is not a list of three"
    path, label, name = entry
    if not isinstance(path, str) or not path:
        return f"path {path!r:.80} is not a file name"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return f"path '{path:.80}' leaves the image folder"
    if not isinstance(label, int) or isinstance(label, bool):
        return f"label {label!r:.80} is not an integer"
    if not isinstance(name, str) or not name.strip():
        return f"class name {name!r:.80} is not a name"
    return None


def _read_imagenet(info: DatasetInfo, folder: Path) -> Split:
    """`classnames.txt` and the folders of `images/{train,val}`; a label is the place of its sorted folder.

    The 50,000 images of `val` are the test set, as in the field; there is no validation split. Listings are sorted so
    that the few-shot draw does not depend on the file system.
    """
    images = folder / info.image_folder
    names = _wnid_names(folder / "classnames.txt")
    wnids = _class_folders(images / "train")
    for part, found in (("train", wnids), ("val", _class_folders(images / "val"))):
        odd = sorted(set(found) ^ set(wnids)) or sorted(set(found) - set(names))
        if odd:
            raise UserError(
                f"{images / part}: class folders {listing(odd)} do not match train/ and classnames.txt; complete them"
            )

    def items(part: str) -> list[Item]:
        return [
            Item(f"{part}/{wnid}/{file}", label, names[wnid])
            for label, wnid in enumerate(wnids)
            for file in _visible(images / part / wnid)
        ]

    return make_split({"train": items("train"), "val": [], "test": items("val")}, images)


def _wnid_names(source: Path) -> dict[str, str]:
    """`<wnid> <name>` a line; keyed by wnid because two names occur twice."""
    names = {}
    for number, line in enumerate(_lines(source, "the class names of ImageNet"), start=1):
        wnid, _, name = line.partition(" ")
        if not name.strip():
            raise UserError(f"{source}: line {number}: expected '<wnid> <name>', got '{line:.80}'")
        names[wnid] = name.strip()
    return names


def _class_folders(folder: Path) -> list[str]:
    """Sorted names of the class folders."""
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; unpack ImageNet's images there, one folder per class")
    found = [name for name in _visible(folder) if (folder / name).is_dir()]
    if not found:
        raise UserError(f"{folder}: holds no class folders; sort its images into one folder per class (n01440764, ...)")
    return found


def _visible(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _read_aircraft(info: DatasetInfo, folder: Path) -> Split:
    """`variants.txt`, whose line index is the label, and `images_variant_{train,val,test}.txt`."""
    variants = _lines(folder / "variants.txt", "the class names of FGVCAircraft")
    labels = {name: label for label, name in enumerate(variants)}
    if len(labels) < len(variants):
        raise UserError(f"{folder / 'variants.txt'}: a class name occurs twice; fetch the file again")
    parts: dict[str, Sequence[Item]] = {}
    for part in PARTS:
        source = folder / f"images_variant_{part}.txt"
        items = []
        for number, line in enumerate(_lines(source, f"FGVCAircraft's '{part}' listing"), start=1):
            image, _, name = line.partition(" ")
            if name not in labels:
                raise UserError(f"{source}: line {number}: class '{name:.80}' is not in variants.txt")
            items.append(Item(f"{image}.jpg", labels[name], name))
        parts[part] = items
    return make_split(parts, folder)


def _lines(source: Path, what: str) -> list[str]:
    """The lines of a text file, stripped, without empty ones at the end."""
    return [line.strip() for line in _read_text(source, what).rstrip().splitlines()]


def _read_text(source: Path, what: str) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{source}: {what} is missing; put it there (CoOp's DATASETS.md says where to get it)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read ({error}); fetch the file again") from None
