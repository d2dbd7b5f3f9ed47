"""From a folder of cached features to one file per dataset, which cells read in place of images and weights.

Shapes: N training rows, V crops, n rows, D joint width, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from dualpt.core.clip.architectures import joint_width
from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.imported_split import (
    METADATA,
    ONE_DRAW,
    PLACEHOLDER,
    ImportedSplit,
    StoredDraw,
    find_import,
    import_file,
)
from dualpt.core.data.splits import PARTS, Split
from dualpt.core.errors import UserError
from dualpt.core.features.imported.cache_checks import (
    check_against_split,
    check_width,
    checked_rows,
)
from dualpt.core.features.imported.cache_layouts import Cache, CachedPart, mean_direction, read_cache
from dualpt.core.features.imported.fewshot_pickles import rows_of_draw
from dualpt.core.features.imported.import_parts import Declared, PartRows, TrainingRows, part_rows, training_rows
from dualpt.core.files.locations import write_atomically
from dualpt.core.files.tensor_file import content_sha256, tensors_as_bytes

ONE_ROW = "a training image is the mean of its crops"
NO_NORMS = "methods on raw features read normalised ones"
RENUMBERED = "labels renumbered by the class names that came with them"
UNCOMPARED = "row order not held against a split file"


@dataclass(frozen=True)
class MadeImport:
    """An import that is not written yet."""

    about: ImportedSplit
    tensors: Mapping[str, Tensor]
    unread: tuple[str, ...]
    """Files of the folder that it takes nothing from."""


def make_import(folder: Path, declared: Declared) -> MadeImport:
    """Read and check a folder of cached features; nothing is written.

    Raises:
        UserError: nothing that is known is there, or features that can't be the dataset's; one line.
    """
    cache = _with_test(read_cache(folder), declared.info)
    declared = replace(declared, names=cache.class_names)
    parts = {
        part: part_rows(found, declared) for part in ("val", "test") if (found := getattr(cache, part)) is not None
    }
    if "test" not in parts:
        raise UserError(
            f"{folder}: holds no test features; add test_f.pt and test_l.pt, or test_features and test_labels"
        )
    train = training_rows(cache, declared)
    if train is None:
        raise UserError(f"{folder}: holds no training features; add keys_16shots.pt and values_16shots.pt, or the like")
    rows = {"train": train.rows, **parts}
    n_classes = declared.n_classes or 1 + max(int(one.labels.max()) for one in rows.values())
    width = train.rows.directions.shape[1]
    cache = replace(cache, text=_renumbered(_by_class(cache.text, n_classes, width), declared))
    widths = [(one.place, one.directions.shape[1]) for one in rows.values()]
    if cache.text is not None:
        widths.append((cache.text_place, cache.text.shape[-1]))
    check_width(widths, declared.backbone, joint_width(declared.backbone))
    _check_parts(parts, declared)
    raw = all(one.raw for one in rows.values())
    text = _text(cache, n_classes)
    about = ImportedSplit(
        dataset=declared.info.name,
        backbone=declared.backbone,
        width=width,
        class_names=_class_names(cache, declared, n_classes),
        labels={part: tuple(one.labels.tolist()) for part, one in rows.items()},
        paths=_paths(declared.split, [part for part in rows if part != "train" or train.complete]),
        draws=_draws(train, declared, "val" in rows),
        complete=train.complete,
        crops=0 if train.crops is None else len(train.crops),
        raw=raw,
        text=Path(cache.text_place).name if text is not None else "",
        scale=declared.scale,
        notes=_notes(cache, train, declared, raw),
    )
    tensors = {part: one.directions for part, one in rows.items()}
    if raw:
        tensors |= {f"{part}_norms": one.norms for part, one in rows.items()}
    if train.crops is not None:
        tensors["train_crops"] = train.crops
        if raw and train.crop_norms is not None:
            tensors["train_crop_norms"] = train.crop_norms
    if text is not None:
        tensors["text"] = text
    _ = about.split  # labels that no split has are refused before anything is written
    return MadeImport(about, tensors, cache.unread)


def write_import(made: MadeImport, folder: Path) -> Path:
    """Write the import into a folder of imports, complete or not at all.

    Raises:
        UserError: the folder holds other features of the dataset; StorageError: it can't be written.
    """
    path, metadata = import_file(folder, made.about.dataset), {METADATA: made.about.metadata()}
    if path.exists():
        if find_import(folder, made.about.dataset).fingerprint == content_sha256(made.tensors, metadata):
            return path
        raise UserError(
            f"{path}: holds other features of {made.about.dataset}, which finished cells may have read; remove it, or "
            "give another folder as --out"
        )
    write_atomically(
        path, tensors_as_bytes(made.tensors, metadata), remedy="make room, or give another folder as --out"
    )
    return path


def _with_test(cache: Cache, info: DatasetInfo) -> Cache:
    """ImageNet's test images are its `val`, and are cached under that name."""
    if info.layout == "imagenet" and cache.test is None:
        return replace(cache, val=None, test=cache.val)
    return cache


def _check_parts(parts: Mapping[str, PartRows], declared: Declared) -> None:
    """Check validation and test rows against the split, or their numbers against the published ones."""
    for part, rows in parts.items():
        if declared.split is not None:
            check_against_split(rows.labels, getattr(declared.split, part), rows.labels_place)
        elif declared.info.n_images is not None:
            published = declared.info.n_images[PARTS.index(part)]
            if published and len(rows.labels) != published:
                count = f"{len(rows.labels)} rows, and {declared.info.name} has {published} images in '{part}'"
                raise UserError(f"{rows.place}: {count}; check --dataset")


def _draws(train: TrainingRows, declared: Declared, has_val: bool) -> tuple[StoredDraw, ...]:
    """Those that the features are of, with the validation images that files say, or those of files alone.

    Args:
        has_val: whether there are features of validation images.

    Raises:
        UserError: files of draws without a split to find their images in, or of other images than the features'.
    """
    if not declared.draws:
        return train.draws
    if declared.split is None:
        source = declared.draws[0].source
        raise UserError(
            f"{source}: names images, and no split says which rows are theirs; give data.root or --split FILE"
        )
    image_folder = f"{declared.info.folder}/{declared.info.image_folder}".rstrip("/")
    read = [rows_of_draw(one, declared.split, image_folder) for one in declared.draws]
    kept = {(one.shots, one.seed): one if has_val else replace(one, val=None) for one in read}
    if train.complete:
        return tuple(kept.values())
    listed = declared.split.train
    for draw in train.draws:
        named = kept.get((draw.shots, draw.seed))
        if named is None:
            continue
        labels = [listed[row].label for row in named.train]
        if labels != train.rows.labels[list(draw.train)].tolist():
            fault = f"the {draw.shots}-shot features aren't of the draw in shot_{draw.shots}-seed_{draw.seed}.pkl"
            raise UserError(f"{train.rows.labels_place}: {fault}; give its --seed, or leave out --draws")
    return tuple(
        replace(draw, val=kept[draw.shots, draw.seed].val) if (draw.shots, draw.seed) in kept else draw
        for draw in train.draws
    )


def _by_class(text: Tensor | None, n_classes: int, width: int) -> Tensor | None:
    """Text features (C, D), turned where only the other way round fits, as with keys."""
    return text.mT if text is not None and (n_classes, width) != tuple(text.shape) == (width, n_classes) else text


def _renumbered(text: Tensor | None, declared: Declared) -> Tensor | None:
    """Text features in the order of the split's classes."""
    order = declared.relabelling
    return text if text is None or order is None or len(text) != len(order) else text[order.argsort()]


def _text(cache: Cache, n_classes: int) -> Tensor | None:
    """Text features (C, D), normalised."""
    if cache.text is None:
        return None
    if cache.text.ndim not in (2, 3) or len(cache.text) != n_classes:
        found = tuple(cache.text.shape)
        raise UserError(f"{cache.text_place}: text features of shape {found}, and there are {n_classes} classes")
    flat = cache.text.reshape(-1, cache.text.shape[-1])
    checked_rows(CachedPart(flat, flat, cache.text_place, cache.text_place), raw=True)
    return mean_direction(cache.text)


def _class_names(cache: Cache, declared: Declared, n_classes: int) -> tuple[str, ...]:
    if declared.split is not None:
        return declared.split.class_names
    if cache.class_names and len(cache.class_names) != n_classes:
        raise UserError(
            f"{len(cache.class_names)} class names for {n_classes} classes; complete them or leave them out"
        )
    return cache.class_names or tuple(PLACEHOLDER.format(label=label) for label in range(n_classes))


def _paths(split: Split | None, parts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Those of the images of parts whose rows correspond to the split's, if each path names one row."""
    if split is None:
        return {}
    named = {part: tuple(item.path for item in getattr(split, part)) for part in parts}
    every = [path for paths in named.values() for path in paths]
    return named if len(set(every)) == len(every) else {}


def _notes(cache: Cache, train: TrainingRows, declared: Declared, raw: bool) -> tuple[str, ...]:
    notes = []
    if train.averaged:
        notes.append(ONE_ROW if train.crops is None else f"{ONE_ROW}, {len(train.crops)} of which are there too")
    if not train.complete:
        most = max(draw.shots for draw in train.draws)
        notes.append(ONE_DRAW.format(shots=most) + (", and fewer are drawn of it" if most > 1 else ""))
    if cache.text is not None:
        notes.append(f"text features of {Path(cache.text_place).name}, normalised")
    if not raw:
        notes.append(NO_NORMS)
    if declared.relabelling is not None:
        notes.append(RENUMBERED)
    if declared.split is None:
        notes.append(UNCOMPARED)
    return tuple(notes)
