"""The split of a dataset whose features somebody else computed: labels, class names and draws of an import's rows.

`dualpt features import` writes one safetensors file per dataset. Its metadata says what the rows are; nothing of the
features is read here. An item's path names a row: the image's own path where it is known, else its part and number.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from dualpt.core.config.sections import DrawKind
from dualpt.core.data.sampling import MAX_VAL_SHOTS, FewShotSample, draw_few_shot, sample_fingerprint
from dualpt.core.data.splits import PARTS, Item, Split, make_split
from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular

SUFFIX = ".safetensors"
METADATA = "import"
"""Metadata key of what the rows are, as JSON."""
CHECKSUM = "content_sha256"
"""Metadata key of the hash of everything in the file (`dualpt.core.files.tensor_file`)."""
VERSION = 1
PLACEHOLDER = "class {label}"
"""Stands for a class whose name isn't known."""
ONE_DRAW = "one draw of {shots} shots for all seeds"
"""The note of an import that came with a single draw, by which tables know that its seeds say nothing about draws."""


@dataclass(frozen=True)
class StoredDraw:
    """A few-shot draw that came with the features."""

    shots: int
    seed: int
    train: tuple[int, ...]
    """Rows of the training part."""
    val: tuple[int, ...] | None = None
    """Rows of the validation part; None where they are drawn here."""


@dataclass(frozen=True)
class ImportedSplit:
    """What an import holds, features aside."""

    dataset: str
    backbone: str
    """Architecture that the features are of, as it was declared."""
    width: int
    """D, of a feature."""
    class_names: tuple[str, ...]
    labels: Mapping[str, tuple[int, ...]]
    """Of the rows of `train`, `val` and `test`."""
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of the rows' images, where they are known."""
    draws: tuple[StoredDraw, ...] = ()
    complete: bool = False
    """Whether the rows of `train` are all training images of the split, and not draws of them alone."""
    crops: int = 0
    """Random crops of each training image, beside its one feature."""
    raw: bool = False
    """Whether the norms of raw features are among them."""
    text: str = ""
    """What the text features came from, a file or a template; empty where there are none."""
    template: str = ""
    """That class names were encoded in, where it is known."""
    weights: str = ""
    """SHA-256 of the weights that encoded them, and gave the images' features; empty where these aren't known."""
    scale: float = 100.0
    """CLIP's logit scale, as it was declared or as the weights of the text features have it."""
    notes: tuple[str, ...] = ()
    """What a reader of results must know of the features."""
    fingerprint: str = ""
    """SHA-256 of the file's content; not part of the metadata."""
    source: Path = Path()
    """The file; not part of the metadata."""

    @cached_property
    def split(self) -> Split:
        """All rows as a split.

        Raises:
            UserError: labels that no split can have.
        """
        note = f"features of {self.backbone} computed elsewhere: {'; '.join(self.notes)}"
        return make_split({part: self._items(part) for part in PARTS}, self.source, note=note)

    @property
    def largest(self) -> StoredDraw:
        """The draw of the most images, of which smaller ones are drawn; only where not `complete`."""
        return max(self.draws, key=lambda draw: draw.shots)

    def draw(self, shots: int, seed: int, kind: DrawKind = "standard") -> FewShotSample:
        """The draw that came with the features, else one of the training rows that are there.

        Where only draws came with them, a smaller one is drawn of the largest; at its own number of shots every seed
        has its training images.

        Raises:
            UserError: more shots than there are rows of a class, or a draw in proportion to classes where the rows are
                draws themselves.
        """
        if kind != "standard":
            return self._uneven(shots, seed, kind)
        split, stored = self.split, self._stored(shots, seed)
        if self.complete:
            drawn = draw_few_shot(split, shots, seed)
        elif shots > self.largest.shots:
            raise UserError(
                f"{self.source}: holds {self.largest.shots} training images per class of {self.dataset}, and {shots} "
                f"shots are asked for; lower them to {self.largest.shots}, or import more features"
            )
        else:
            drawn = draw_few_shot(split, shots, seed, among=_at(split.train, self.largest.train))
        if stored is None:
            return drawn
        train = _at(split.train, stored.train)
        if stored.val is not None:
            val = _at(split.val, stored.val)
        else:
            val = drawn.val if split.val else self._left_over(train, shots, seed)
        return FewShotSample(train, val, sample_fingerprint(train, val))

    def _left_over(self, train: Sequence[Item], shots: int, seed: int) -> tuple[Item, ...]:
        """Validation images of a stored draw where the split has none: training images that it hasn't.

        None where only draws came with the features, since rows of two draws may be of one image.
        """
        if not self.complete:
            return ()
        taken = set(train)
        left = [item for item in self.split.train if item not in taken]
        return draw_few_shot(self.split, min(shots, MAX_VAL_SHOTS), seed, among=left).train

    def _uneven(self, shots: int, seed: int, kind: DrawKind) -> FewShotSample:
        if not self.complete:
            raise UserError(
                f"data.draw={kind}: {self.source} holds draws of {self.dataset} alone, and which classes are frequent "
                "isn't known; import features of all training images"
            )
        return draw_few_shot(self.split, shots, seed, kind=kind)

    def metadata(self) -> str:
        """What `find_import` reads; the same for the same features in versions that knew fewer facts of them."""
        kept = {key: value for key, value in vars(self).items() if key in _FIELDS and (value or key not in _LATER)}
        kept["draws"] = [vars(draw) for draw in self.draws]
        return json.dumps({"version": VERSION, **kept}, ensure_ascii=False)

    def _stored(self, shots: int, seed: int) -> StoredDraw | None:
        exact = next((draw for draw in self.draws if (draw.shots, draw.seed) == (shots, seed)), None)
        if exact is None and not self.complete and shots == self.largest.shots:
            return self.largest
        return exact

    def _items(self, part: str) -> list[Item]:
        labels, paths = self.labels.get(part, ()), self.paths.get(part)
        named = paths or [f"{part}/{row}" for row in range(len(labels))]
        return [Item(path, label, self.class_names[label]) for path, label in zip(named, labels, strict=True)]


_FIELDS = (
    "dataset",
    "backbone",
    "width",
    "class_names",
    "labels",
    "paths",
    "complete",
    "crops",
    "raw",
    "text",
    "template",
    "weights",
    "scale",
    "notes",
)
"""Written as they are; draws are objects."""
_LATER = ("template", "weights")
"""Of those, what earlier versions didn't write; left out where it says nothing, for their files to be the same."""


def _at(items: Sequence[Item], rows: Sequence[int]) -> tuple[Item, ...]:
    return tuple(items[row] for row in rows)


def import_file(folder: Path, dataset: str) -> Path:
    """Where an import of a dataset lies in a folder of imports."""
    return folder / f"{dataset}{SUFFIX}"


def find_import(folder: Path, dataset: str) -> ImportedSplit:
    """The import of a dataset in a folder of imports, read once as long as its file doesn't change.

    Raises:
        UserError: it is missing, or isn't what `dualpt features import` wrote.
    """
    path = import_file(folder, dataset)
    check_regular(path)
    try:
        state = path.stat()
    except OSError:
        raise UserError(_missing(folder, dataset)) from None
    found = _read_once(path, state.st_mtime_ns, state.st_size)
    if found.dataset != dataset:
        raise UserError(f"{path}: holds features of {found.dataset}; name the file {found.dataset}{SUFFIX}")
    return found


def _missing(folder: Path, dataset: str) -> str:
    if not folder.is_dir():
        return f"data.features: no folder '{folder}'; give the one that `dualpt features import` wrote to"
    fault = f"data.features: '{folder}' holds no {dataset}{SUFFIX}"
    if any(folder.glob("*.pt")) or any(folder.glob("*.npz")):
        command = f"dualpt features import {folder} --dataset {dataset} --backbone NAME"
        return f"{fault}, but cached features; import them with `{command}`, and give the folder that it names"
    known = ", ".join(sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))) or "none"
    command = f"dualpt features import FOLDER --dataset {dataset} --backbone NAME --out {folder}"
    return f"{fault} (there: {known}); add it with `{command}`, or choose other datasets"


@lru_cache(maxsize=64)
def _read_once(path: Path, modified: int, size: int) -> ImportedSplit:
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        return _parsed(json.loads(metadata[METADATA]), metadata[CHECKSUM], path)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not a file that `dualpt features import` wrote ({type(error).__name__}: {error}); import it again"
        ) from None


def _parsed(content: dict[str, Any], fingerprint: str, path: Path) -> ImportedSplit:
    if content.pop("version") != VERSION:
        raise ValueError("another version of the format")
    content["class_names"] = tuple(content["class_names"])
    content["labels"] = {part: tuple(labels) for part, labels in content["labels"].items()}
    content["paths"] = {part: tuple(paths) for part, paths in content["paths"].items()}
    content["notes"] = tuple(content["notes"])
    content["draws"] = tuple(
        StoredDraw(
            draw["shots"], draw["seed"], tuple(draw["train"]), None if draw["val"] is None else tuple(draw["val"])
        )
        for draw in content["draws"]
    )
    return ImportedSplit(**content, fingerprint=fingerprint, source=path)
