"""A user's images in class folders: which folders are the parts, and how images are divided where none are.

Layouts of torchvision's `ImageFolder` and of common downloads are taken as they lie: `train/cat/1.jpg` with the usual
spellings of the parts, or the class folders alone. Anything else is refused in one line that says what was found.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from dualpt.core.data.class_folders import class_folders, image_files, visible
from dualpt.core.data.splits import PARTS, Item, Split, listing, make_split
from dualpt.core.errors import UserError

SPELLINGS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trainset", "trainingset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "valset", "validationset"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "testingset"), "test"),
}
"""What a part's folder may be called, in lower case, without blanks, underscores and hyphens -> the part."""
TRAIN_SHARE, VAL_SHARE = 0.5, 0.2
"""Shares of each class's images where nothing else divides them, as CoOp divided Caltech101 and DescribableTextures."""
WANTED = "expected train/, test/ and perhaps val/ with one folder per class in each, or the class folders alone"


def read_own_folders(images: Path) -> Split:
    """A user's images, one folder per class; labels are places of the sorted class names.

    Folders `train`, `test` and perhaps `val`, in any case and usual spelling, divide the images. Where there are only
    class folders, half of each class is for training, a fifth for validation and the rest for testing, in the order of
    a hash of the file names: the same on every machine, and little changed by a new image.

    Raises:
        UserError: no class folders, parts without test or training images, or a class with fewer than two images.
    """
    found = _part_folders(images)
    if found:
        parts = {part: [f"{name}/{path}" for path in _images_of(images / name)] for part, name in found.items()}
    else:
        parts = _divided(images, class_folders(images))
    names = sorted({path.split("/")[-2] for paths in parts.values() for path in paths})
    labels = {name: label for label, name in enumerate(names)}
    items = {
        part: [Item(path, labels[name := path.split("/")[-2]], name) for path in parts.get(part, ())] for part in PARTS
    }
    return make_split(items, images)


def _part_folders(images: Path) -> dict[str, str]:
    """Part -> the folder that holds it; empty where the folders are classes.

    A folder that is called like a part and holds images itself is a class: a train may be photographed.

    Raises:
        UserError: parts that are incomplete, doubled, or mixed with classes.
    """
    top = class_folders(images)
    parts = [name for name in top if _part_of(name) and not image_files(images / name)]
    if not parts:
        return {}
    others = [name for name in top if name not in parts and _holds_images(images / name)]
    for name in others:
        if _part_of(name):
            raise UserError(
                f"{images / name}: holds images and no class folders, beside {_shown(parts)} with classes; sort its "
                "images into one folder per class"
            )
    if others:
        raise UserError(f"{images}: holds {_shown(parts)} beside {_shown(others)}; {WANTED}")
    found: dict[str, str] = {}
    for name in parts:
        part = _part_of(name)
        assert part is not None
        if part in found:
            raise UserError(f"{images}: both {found[part]}/ and {name}/ may be the {part} images; keep one")
        found[part] = name
    if missing := [part for part in ("train", "test") if part not in found]:
        raise UserError(f"{images}: holds {_shown(parts)} and no {' or '.join(missing)}/; {_remedy(found)}")
    return found


def _remedy(found: Mapping[str, str]) -> str:
    """What to do about parts without `train` or `test`."""
    if found.keys() == {"train", "val"}:
        return (
            f"rename {found['val']}/ to test/ (validation images are then drawn from {found['train']}/, as ImageNet's "
            "are), or add a test/ folder"
        )
    if found.keys() == {"train"}:
        return (
            f"add a test/ folder, or have its images divided: name {found['train']}/ in the path of the images "
            "(`images` in datasets.yaml, --images of `dualpt data add`)"
        )
    return WANTED


def _part_of(name: str) -> str | None:
    return SPELLINGS.get(re.sub(r"[ _-]", "", name).lower())


def _holds_images(folder: Path) -> bool:
    """Whether there are images in a folder or in its folders: labels and notes beside the parts are left out."""
    return bool(image_files(folder)) or any(
        (folder / name).is_dir() and image_files(folder / name) for name in visible(folder)
    )


def _shown(folders: Sequence[str]) -> str:
    return listing([f"{name}/" for name in folders])


def _images_of(folder: Path) -> list[str]:
    return [f"{name}/{file}" for name in class_folders(folder) for file in image_files(folder / name)]


def _divided(images: Path, names: Sequence[str]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in names:
        files = sorted(image_files(images / name), key=lambda file: blake2b(file.encode()).digest())
        if len(files) < 2:
            raise _too_few(images / name, len(files))
        n_train = max(1, round(TRAIN_SHARE * len(files)))
        n_val = min(round(VAL_SHARE * len(files)), len(files) - n_train - 1)
        cuts = (files[:n_train], files[n_train : n_train + n_val], files[n_train + n_val :])
        for part, chosen in zip(PARTS, cuts, strict=True):
            parts[part] += [f"{name}/{file}" for file in sorted(chosen)]
    return parts


def _too_few(folder: Path, n_images: int) -> UserError:
    inside = [name for name in visible(folder) if (folder / name).is_dir()]
    if inside and not n_images:
        return UserError(
            f"{folder}: no images, only folders ({_shown(inside)}); {WANTED}; name the folder that holds them as "
            "the images' (`images` in datasets.yaml, --images of `dualpt data add`)"
        )
    return UserError(
        f"{folder}: {n_images} image(s), a class needs at least two (one to train, one to test); add images or remove "
        "the folder"
    )
