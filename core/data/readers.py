"""Read a dataset's split from the data root, whatever its layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from dualpt.core.data.catalog import DatasetInfo, dataset_info
from dualpt.core.data.class_folders import read_imagenet, read_numbered_folders, read_wnid_folders
from dualpt.core.data.own_folders import read_own_folders
from dualpt.core.data.split_file import read_split_file
from dualpt.core.data.splits import PARTS, Item, Split, make_split
from dualpt.core.data.table_file import read_table_file
from dualpt.core.data.text_files import read_lines
from dualpt.core.errors import UserError


def read_split(info: DatasetInfo, root: Path, *, images: bool = True) -> Split:
    """Read and check the split of one dataset; images themselves are not opened (see `check_files`).

    Args:
        info: the dataset.
        root: the data root, the folder that holds `info.folder`.
        images: whether the image folder must be there; a split file can be read without it.

    Raises:
        UserError: a missing folder or file, or a malformed split; the line names the file and the fault.
    """
    folder, image_root = root / info.folder, info.image_root(root)
    if not root.is_dir():
        raise UserError(f"data.root: no folder '{root}'; set data.root to the folder that holds '{info.folder}/'")
    if not folder.is_dir():
        inside = root.name == info.folder
        remedy = f"did you mean '{root.parent}'?" if inside else "complete the data root or choose other datasets"
        raise UserError(f"data.root: '{root}' holds no folder '{info.folder}' ({info.name}); {remedy}")
    if images and not image_root.is_dir():
        raise UserError(f"{image_root}: the images of {info.name} are missing; unpack them there")
    match info.layout:
        case "split file" | "table":
            if info.kind == "own" and not (folder / info.split_file).exists():
                fault = f"the split file of {info.name} is missing; put it there, or change `split` of its entry"
                raise UserError(f"{folder / info.split_file}: {fault}")
            prefix = f"{info.folder}/{info.image_folder}".rstrip("/")
            read = read_table_file if info.layout == "table" else read_split_file
            return read(folder / info.split_file, f"the split file of {info.name}", prefix)
        case "aircraft":
            return read_aircraft(folder)
        case "imagenet":
            return read_imagenet(folder, image_root)
        case "wnid folders":
            return read_wnid_folders(folder, image_root, root / dataset_info("ImageNet").folder)
        case "numbered folders":
            return read_numbered_folders(folder, image_root, root / dataset_info("ImageNet").folder)
        case "class folders":
            return read_own_folders(image_root)
        case _:
            assert_never(info.layout)


def read_aircraft(folder: Path) -> Split:
    """`variants.txt`, whose line index is the label, and `images_variant_{train,val,test}.txt`."""
    variants = read_lines(folder / "variants.txt", "the list of FGVCAircraft's class names")
    labels = {name: label for label, name in enumerate(variants)}
    if len(labels) < len(variants):
        raise UserError(f"{folder / 'variants.txt'}: a class name occurs twice; fetch the file again")
    parts: dict[str, Sequence[Item]] = {}
    for part in PARTS:
        source = folder / f"images_variant_{part}.txt"
        items = []
        for number, line in enumerate(read_lines(source, f"FGVCAircraft's '{part}' listing"), start=1):
            image, _, name = line.partition(" ")
            if not image or "/" in image or "\\" in image:
                raise UserError(f"{source}: line {number}: '{image:.80}' does not name an image in images/")
            if name not in labels:
                raise UserError(f"{source}: line {number}: class '{name:.80}' is not in variants.txt")
            items.append(Item(f"{image}.jpg", labels[name], name))
        parts[part] = items
    return make_split(parts, folder)
