"""The classes that a bank is written for: names by label, and WordNet ids in ImageNet. No image is needed.

They come from a file that the user names, from the dataset's own files under the data root, or from the mini grid.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.class_folders import CLASS_NAMES_FILE, read_wnid_names
from dualpt.core.data.readers import read_split
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.splits import PARTS, listing
from dualpt.core.errors import UserError
from dualpt.core.files.json_reader import parse_json
from dualpt.core.files.regular import check_fetched, check_regular
from dualpt.core.mini.world import build_world

INSTEAD = "--classes FILE with a split file or one name per line"
WNID_LINE = re.compile(r"(n\d{8})\s+(\S.*)")


class DatasetClass(NamedTuple):
    """One class; its label is its place in the list."""

    name: str
    wnid: str | None = None


Classes = tuple[DatasetClass, ...]


def classes_of(info: DatasetInfo, root: Path | None, file: Path | None) -> Classes:
    """The classes of a dataset by label.

    Args:
        info: the dataset.
        root: the data root, of which only the split and ImageNet's `classnames.txt` are read.
        file: a split file, a JSON list of names, or a text file with one name (or `<wnid> <name>`) per line, in the
            order of labels; or a folder of such files called `<dataset>.json` or `<dataset>.txt`. Takes precedence over
            `root`.

    Raises:
        UserError: nothing says what the classes are, or the file is malformed.
    """
    if file is not None:
        return _read_file(_in_folder(file, info) if file.is_dir() else file, info)
    if info.described_as:
        raise UserError(f"{info.name} is described by {info.described_as}'s bank; name {info.described_as}")
    if info.kind == "mini":
        return tuple(DatasetClass(item.name) for item in build_world().classes[info.name])
    if root is None:
        raise UserError(
            f"the class names of {info.name} are not known; give data.root=FOLDER that holds '{info.folder}/', or "
            f"{INSTEAD}"
        )
    if info.layout == "imagenet":
        return _imagenet_classes(info, root)
    try:
        return tuple(map(DatasetClass, read_split(info, root, images=False).class_names))
    except UserError as error:
        raise UserError(f"{error}, or give {INSTEAD}") from None


def titles(classes: Sequence[DatasetClass]) -> list[str]:
    """Names to show: the wnid, or else the label, stands behind a name that occurs twice."""
    names = [item.name for item in classes]
    return [
        item.name if names.count(item.name) == 1 else f"{item.name} ({item.wnid or f'label {label}'})"
        for label, item in enumerate(classes)
    ]


def _in_folder(folder: Path, info: DatasetInfo) -> Path:
    for file in (folder / info.bank_name, folder / f"{info.name}.txt"):
        if file.is_file():
            return file
    raise UserError(f"--classes: {folder} holds no {info.bank_name} and no {info.name}.txt; name the file itself")


def _imagenet_classes(info: DatasetInfo, root: Path) -> Classes:
    """The wnids of `classnames.txt` in order; without those that have no folder, where the images are at hand."""
    names = read_wnid_names(root / info.folder / CLASS_NAMES_FILE)
    images = info.image_root(root) / "train"
    return tuple(
        DatasetClass(names[wnid], wnid) for wnid in sorted(names) if not images.is_dir() or (images / wnid).is_dir()
    )


def _read_file(source: Path, info: DatasetInfo) -> Classes:
    check_regular(source, INSTEAD)
    try:
        check_fetched(source)
        text = source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{source}: no such file of class names") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read ({error})") from None
    if odd := next((line for line in text.splitlines() if not line.replace("\t", " ").isprintable()), None):
        raise UserError(f"{source}: not a text file of class names (it holds {odd!r:.60})")
    classes = _from_json(source, info, text) if source.suffix == ".json" else _from_lines(text, source)
    if not classes:
        raise UserError(f"{source}: holds no class names; expected a split file or one name per line")
    _check_repeats(classes, source, info)
    return classes


def _check_repeats(classes: Classes, source: Path, info: DatasetInfo) -> None:
    """Only ImageNet has names twice, and a list of its names without them has the wrong labels."""
    if info.layout == "imagenet":
        if not classes[0].wnid and len(classes) != info.n_classes:
            raise UserError(
                f"{source}: {len(classes)} names, ImageNet has {info.n_classes} (two of them twice), so labels "
                "would be wrong; give lines of '<wnid> <name>'"
            )
        return
    names = [item.name for item in classes]
    twice = list(dict.fromkeys(name for name in names if names.count(name) > 1))
    if twice:
        raise UserError(f"{source}: {listing([repr(name) for name in twice])} occurs twice; list each class once")


def _from_json(source: Path, info: DatasetInfo, text: str) -> Classes:
    content = parse_json(text, source)
    if isinstance(content, dict) and any(part in content for part in PARTS):
        prefix = f"{info.folder}/{info.image_folder}".rstrip("/")
        return tuple(map(DatasetClass, read_split_file(source, image_folder=prefix).class_names))
    if isinstance(content, list) and all(isinstance(name, str) and name.strip() for name in content):
        return tuple(DatasetClass(name.strip()) for name in content)
    raise UserError(f"{source}: neither a split file ('train', 'val', 'test') nor a JSON list of class names")


def _from_lines(text: str, source: Path) -> Classes:
    """One name per line in the order of labels; lines with wnids are sorted by them, as the class folders are."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    with_wnid = [WNID_LINE.fullmatch(line) for line in lines]
    found = [DatasetClass(match[2], match[1]) for match in with_wnid if match]
    if not found:
        return tuple(map(DatasetClass, lines))
    if len(found) < len(lines):
        odd = next(line for line, match in zip(lines, with_wnid, strict=True) if not match)
        raise UserError(f"{source}: '{odd:.60}' has no wnid, other lines have one; expected '<wnid> <name>'")
    if len({item.wnid for item in found}) < len(found):
        raise UserError(f"{source}: a wnid occurs twice; list each class once")
    return tuple(sorted(found, key=lambda item: item.wnid or ""))
