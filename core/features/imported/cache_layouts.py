"""Which arrays of a folder are whose features and labels, by the names that published scripts give them.

Tip-Adapter, APE and TIMO (gaopengcuhk/Tip-Adapter@d0e2d6f: utils.py; yangyangyang127/APE@70460de: extract_features.py;
lyymuwu/TIMO@75eca4c: extract_features_all.py) write, for N images, C classes, K shots and width D:

    keys_{K}shots.pt    (D, N)    mean over views of raw features, then normalised; values_{K}shots.pt (N, C) one-hot
    {K}_vecs_f.pt       (V N, D)  every view normalised, one pass over the images after another; {K}_labels_f.pt (V N,)
    val_f.pt, test_f.pt (n, D)    normalised, in the order of the split file; val_l.pt, test_l.pt (n,)
    text_weights_t.pt   (D, C)    templates; with sentences of a language model in `cupl` and `gpt`, (C, P, D) in `all`

Names that end in `_unnormed` hold the same without normalisation. Others' arrays are found by words in their names:
`train_features`, `y_test`, or `features` in `val.npz`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dualpt.core.data.splits import listing
from dualpt.core.data.text_files import read_lines
from dualpt.core.errors import UserError
from dualpt.core.features.imported.cached_files import SUFFIXES, FileArrays, read_arrays

UNNORMED = "_unnormed"
PICKLES = (".pkl", ".pickle")
NAMES_FILES = ("classnames.txt", "class_names.txt", "classes.txt")
"""One class name per line, in the order of the labels."""
KEYS = re.compile(r"keys_(\d+)shots")
VECTORS = re.compile(r"(\d+)_vecs_f")
SHOTS = re.compile(r"(?<![a-z0-9])(\d+)[ _-]?shots?(?![a-z])|(?<![a-z])shots?[ _-]?(\d+)(?!\d)")
TEXT_FILES = ("text_weights_t", "text_weights_cupl_t", "text_weights_gpt_t", "text_weights_cupl_t_all", "text_weights")
"""The first of these that is there serves: the templates alone, before templates with more sentences."""
PART_WORDS = {
    "train": "train",
    "training": "train",
    "support": "train",
    "fewshot": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "query": "test",
    "text": "text",
}
CLASS_NAMES = ("classnames", "classes", "names")
KIND_WORDS = {
    **dict.fromkeys(("features", "feature", "feats", "feat", "f", "x", "embeddings", "images", "keys"), "features"),
    **dict.fromkeys(("labels", "label", "l", "y", "targets", "target", "values"), "labels"),
    **dict.fromkeys(("crops", "views", "vecs"), "crops"),
    **dict.fromkeys(("weights",), "features"),
}


@dataclass(frozen=True)
class CachedPart:
    """Features and labels of some images, as they lie in files."""

    features: Tensor
    """(n, D); of crops (V n, D), one pass over the images after another."""
    labels: Tensor
    """(n,) or (V n,) whole numbers, or one-hot rows."""
    place: str
    """File and array of the features, for error lines."""
    labels_place: str
    raw: bool = False
    """Whether rows aren't normalised, as the file's name says."""
    named: tuple[str, ...] = ()
    """Labels that are names of classes, where they are; `labels` then has none."""


@dataclass(frozen=True)
class Cache:
    """What a folder holds."""

    layout: str
    """Whose it is, in words."""
    train: Mapping[int | None, CachedPart] = field(default_factory=dict)
    """By shots; None where no name says how many."""
    crops: Mapping[int | None, CachedPart] = field(default_factory=dict)
    val: CachedPart | None = None
    test: CachedPart | None = None
    text: Tensor | None = None
    """(C, D) or (C, P, D)"""
    text_place: str = ""
    class_names: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    """Files of a kind that could hold features and are none of the layout's."""


def read_cache(folder: Path) -> Cache:
    """The cached features in a folder, or in one file.

    Raises:
        UserError: no such place, nothing in it that is known, features without labels, or a file that can't be read.
    """
    if folder.is_file() and folder.suffix in SUFFIXES:
        return _named_arrays({folder.name: folder}, folder)
    if not folder.is_dir():
        fault = "no folder, and no file of arrays" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {fault} ({', '.join(SUFFIXES)}); give the folder that holds the cached features")
    files = {path.name: path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.is_file()}
    if not files:
        inside = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())[:5])
        hint = f"; did you mean a folder in it ({inside})?" if inside else ""
        if pickles := sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES):
            hint = f"; {pickles[0]} is a pickle, which could run code and isn't read: save its arrays by np.savez"
        raise UserError(f"{folder}: holds no cached features ({', '.join(SUFFIXES)}){hint}")
    stems = {path.stem.removesuffix(UNNORMED) for path in files.values() if path.suffix == ".pt"}
    if any(KEYS.fullmatch(stem) or VECTORS.fullmatch(stem) for stem in stems) or {"val_f", "test_f"} & stems:
        return _TorchCache(folder, files).read()
    return _named_arrays(files, folder)


class _TorchCache:
    """A folder in the layout of Tip-Adapter and its successors."""

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        self._folder = folder
        self._files = files
        self._read: set[str] = set()

    def read(self) -> Cache:
        stems = {path.stem for path in self._files.values()}
        shots = sorted({int(found[1]) for stem in stems if (found := KEYS.fullmatch(stem.removesuffix(UNNORMED)))})
        crops = sorted({int(found[1]) for stem in stems if (found := VECTORS.fullmatch(stem.removesuffix(UNNORMED)))})
        names = [f"keys_{k}shots" for k in shots] + [f"{k}_vecs_f" for k in crops]
        names += [name for name in ("val_f", "test_f") if {name, name + UNNORMED} & stems]
        raw = all(name + UNNORMED in stems for name in names)
        train = {k: self._part(f"keys_{k}shots", f"values_{k}shots", raw) for k in shots}
        text_place = next((f"{name}.pt" for name in TEXT_FILES if f"{name}.pt" in self._files), "")
        cache = Cache(
            layout="Tip-Adapter's cache",
            train={k: _transposed(part) for k, part in train.items()},
            crops={k: self._part(f"{k}_vecs_f", f"{k}_labels_f", raw) for k in crops},
            val=self._part("val_f", "val_l", raw) if "val_f" in names else None,
            test=self._part("test_f", "test_l", raw) if "test_f" in names else None,
            text=None if not text_place else _by_class(self._tensor(text_place), self._folder / text_place),
            text_place=str(self._folder / text_place) if text_place else "",
            class_names=_names_file(self._folder),
        )
        unread = tuple(sorted(self._files.keys() - self._read))
        return Cache(**{**vars(cache), "unread": unread})

    def _part(self, features: str, labels: str, raw: bool) -> CachedPart:
        """Raw rows where all parts have them, else normalised ones."""
        is_raw = raw or f"{features}.pt" not in self._files
        name = f"{features}{UNNORMED if is_raw else ''}.pt"
        labelled = [f"{labels}{end}.pt" for end in ("", UNNORMED) if f"{labels}{end}.pt" in self._files]
        if not labelled:
            raise UserError(f"{self._folder / name}: its labels, {labels}.pt, are missing; copy them beside it")
        self._read |= {name, *labelled}
        place, labels_place = self._folder / name, self._folder / labelled[0]
        return CachedPart(self._tensor(name), self._tensor(labelled[0]), str(place), str(labels_place), is_raw)

    def _tensor(self, name: str) -> Tensor:
        self._read.add(name)
        arrays = read_arrays(self._files[name]).tensors
        if list(arrays) != [""]:
            raise UserError(f"{self._folder / name}: holds several arrays where this layout has one; save it alone")
        return arrays[""]


def _transposed(part: CachedPart) -> CachedPart:
    """Keys (D, N) as rows (N, D); rows already, where only that fits the labels."""
    features = part.features
    if features.ndim == 2 and not (len(features) == len(part.labels) != features.shape[1]):
        features = features.mT
    return CachedPart(features, part.labels, part.place, part.labels_place, part.raw)


def _by_class(text: Tensor, place: Path) -> Tensor:
    """Text weights (D, C) or (C, P, D) with classes first."""
    if text.ndim not in (2, 3):
        raise UserError(f"{place}: expected text weights (D, C) or (C, P, D), found shape {tuple(text.shape)}")
    return text.mT if text.ndim == 2 else text


def _named_arrays(files: Mapping[str, Path], folder: Path) -> Cache:
    """A folder of arrays that are found by their names."""
    arrays = {path: read_arrays(path) for path in files.values()}
    found, unread = _find(arrays)
    if not any(part in ("train", "test") and kind == "features" for part, _, kind in found):
        raise UserError(
            f"{folder}: holds no arrays whose names are known (found: {listing(unread)}); call them train_features, "
            "train_labels, val_features, val_labels, test_features and test_labels"
        )
    text = found.get(("text", None, "features"))
    train_shots = dict.fromkeys(shots for part, shots, _ in found if part == "train")
    train = {shots: _named_part(found, "train", shots, "features") for shots in train_shots}
    crops = {shots: _named_part(found, "train", shots, "crops") for shots in train_shots}
    return Cache(
        layout="arrays by name",
        train={shots: one for shots, one in train.items() if one is not None},
        crops={shots: one for shots, one in crops.items() if one is not None},
        val=_named_part(found, "val", None, "features"),
        test=_named_part(found, "test", None, "features"),
        text=None if text is None else text.tensor,
        text_place="" if text is None else text.place,
        class_names=_class_names(arrays) or _names_file(folder),
        unread=tuple(unread),
    )


def _find(arrays: Mapping[Path, FileArrays]) -> tuple[dict[tuple[str, int | None, str], "_Named"], list[str]]:
    """Arrays by part, shots and kind, and the names of those that say neither."""
    found: dict[tuple[str, int | None, str], _Named] = {}
    unread = []
    for path, held in arrays.items():
        for name, tensor in held.tensors.items():
            part, kind, shots = _meaning(name, path.stem)
            if part is None or kind is None:
                unread.append(f"{path.name}: {name}" if name else path.name)
                continue
            key, place = (part, shots, kind), f"{path}: {name}" if name else str(path)
            if key in found:
                raise UserError(f"{place}: {found[key].place} holds the {kind} of '{part}' too; keep one of them")
            found[key] = _Named(tensor, place, raw=bool({"unnormed", "raw"} & {*_words(name), *_words(path.stem)}))
    for path, held in arrays.items():  # numbers first: names of labels may lie beside them
        for name, words in held.words.items():
            part, kind, shots = _meaning(name, path.stem)
            if part is not None and kind == "labels" and (part, shots, kind) not in found:
                found[part, shots, kind] = _Named(torch.empty(0), f"{path}: {name}", raw=False, words=words)
    return found, unread


def _names_file(folder: Path) -> tuple[str, ...]:
    """The class names of the first of `NAMES_FILES` in a folder; none where there is none."""
    path = next((folder / name for name in NAMES_FILES if (folder / name).is_file()), None)
    return () if path is None else tuple(filter(None, read_lines(path, "class names")))


def _class_names(arrays: Mapping[Path, FileArrays]) -> tuple[str, ...]:
    """The first array of text called `classnames`, `class_names` or `classes`."""
    words = ((name, found) for held in arrays.values() for name, found in held.words.items())
    return next((found for name, found in words if "".join(_words(name)) in CLASS_NAMES), ())


class _Named(NamedTuple):
    tensor: Tensor
    place: str
    raw: bool
    words: tuple[str, ...] = ()
    """In place of numbers."""


def _named_part(
    found: Mapping[tuple[str, int | None, str], _Named], part: str, shots: int | None, kind: str
) -> CachedPart | None:
    """Crops are (V, n, D) there, and share the labels of their images."""
    if (part, shots, kind) not in found:
        return None
    features, place, raw, _ = found[part, shots, kind]
    if (part, shots, "labels") not in found:
        raise UserError(f"{place}: its labels are missing; add {part}_labels")
    labels, labels_place, _, named = found[part, shots, "labels"]
    if kind == "crops" and features.ndim == 3:
        labels = labels.repeat(len(features)) if labels.ndim == 1 else labels.repeat(len(features), 1)
        named *= len(features)
        features = features.flatten(0, 1)
    return CachedPart(features, labels, place, labels_place, raw, named)


def _meaning(name: str, stem: str) -> tuple[str | None, str | None, int | None]:
    """Part, kind and shots that an array's name says, and where it doesn't, its file's."""
    own, outer = _words(name), _words(stem)
    part = _part_of(own) or _part_of(outer)
    kind = next((KIND_WORDS[word] for word in (*own, *outer) if word in KIND_WORDS), None)
    if kind is None and part is not None:
        kind = "features"
    shots = SHOTS.search(name.lower()) or SHOTS.search(stem.lower())
    return part, kind, None if shots is None or part != "train" else int(shots[1] or shots[2])


def _part_of(words: Iterable[str]) -> str | None:
    return next((PART_WORDS[word] for word in words if word in PART_WORDS), None)


def _words(name: str) -> list[str]:
    """`X_train`, `trainFeatures` and `train.features` as lower-case words."""
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def mean_direction(text: Tensor) -> Tensor:
    """Text features (C, D), normalised: of several sentences per class (C, P, D), the direction of their mean."""
    directions = torch.nn.functional.normalize(text.float(), dim=-1)
    return directions if text.ndim == 2 else torch.nn.functional.normalize(directions.mean(1), dim=-1)
