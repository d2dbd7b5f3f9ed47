"""What a method on frozen features learned, as a file that explains itself.

    learned = load_classifier("classifier.safetensors")
    classifier = FeatureClassifier(learned)          # `dualpt.core.learned.feature_classifier`

The file is a safetensors file of the classifier's tensors; what explains it is one JSON document in its metadata.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.files.tensor_file import aligned, read_tensors, tensors_as_bytes, write_tensors
from dualpt.core.learned.document import CellDocument
from dualpt.core.method_catalog import ROOM
from dualpt.core.methods.interface import Classifier

DOCUMENT = "dualpt.classifier"
SCHEMA = 1
WHAT = "a file of a learned classifier"


@dataclass(frozen=True, eq=False)
class LearnedClassifier:
    """What fitting leaves, and what it was fitted for."""

    classifier: Classifier
    """Of one cell, R = 1."""
    cell: Cell
    cell_key: str
    class_names: tuple[str, ...]
    """Of the classes it was fitted to, by label; of base-to-new the base classes alone."""
    template: str
    """That class names were put into, `{}` being the name."""
    weights: str
    """SHA-256 of the frozen CLIP's weights, whose features it classifies."""
    chosen: Mapping[str, float]
    """Options that were chosen on validation images."""


class _Document(CellDocument):
    classifier: str
    """Its class as MODULE:NAME; of a user's own file the name alone."""
    source: str | None
    """SHA-256 of the file of a method that doesn't ship."""
    template: str
    chosen: dict[str, float]


def save_classifier(path: Path, learned: LearnedClassifier, about: Mapping[str, str] | None = None) -> None:
    """Write the file; `about` is further metadata for readers."""
    write_tensors(path, _tensors(learned), _metadata(learned, about))


def classifier_file(learned: LearnedClassifier, about: Mapping[str, str] | None = None) -> bytes:
    """The content of the file that `save_classifier` writes, for what stores it elsewhere."""
    return tensors_as_bytes(_tensors(learned), _metadata(learned, about))


def holds_classifier(path: Path) -> bool:
    """Whether a safetensors file holds a classifier, and not a prompt's contexts.

    Raises:
        UserError: it can't be read.
    """
    return DOCUMENT in read_tensors(path, "a file of learned contexts or of a classifier")[1]


def read_document(metadata: Mapping[str, str], path: Path) -> _Document:
    """What a file of a learned classifier says of itself.

    Args:
        metadata: of the file.
        path: the file, for errors.

    Raises:
        UserError: it says nothing, the document is damaged, or of another schema version.
    """
    return _Document.read(metadata, DOCUMENT, SCHEMA, path, WHAT)


def load_classifier(path: Path | str, method: str | None = None) -> LearnedClassifier:
    """Read what `save_classifier` wrote: a cell's `classifier.safetensors`, or what `dualpt train --save` left.

    Args:
        path: the file.
        method: where a user's own method lies now (`FILE.py`), if not where it lay then.

    Raises:
        UserError: the file is missing or damaged, or its method is gone or has changed.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path, WHAT)
    document = read_document(metadata, path)
    values = document.setting if method is None else {**document.setting, "method": method}
    setting = Setting().with_values(values, source=str(path))
    if setting.definition.sha256 != document.source:
        raise UserError(
            f"{path}: the code of {setting.method} is not the one it was learned with (SHA-256 "
            f"{str(document.source)[:16]}…); give the file as it was then"
        )
    kind = _class_of(document.classifier, setting, path)
    if set(tensors) != {one.name for one in fields(kind)}:
        raise UserError(f"{path}: holds {', '.join(sorted(tensors))}, and {kind.__name__} has other tensors")
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise UserError(f"{path}: its {broken[0]} has values that are not finite; train it again")
    return LearnedClassifier(
        kind(**aligned(tensors)),
        document.cell(setting),
        document.cell_key,
        document.class_names,
        document.template,
        document.weights,
        document.chosen,
    )


def _tensors(learned: LearnedClassifier) -> dict[str, Tensor]:
    return {
        name: tensor.cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in learned.classifier.tensors().items()
    }


def _metadata(learned: LearnedClassifier, about: Mapping[str, str] | None) -> dict[str, str]:
    cell, kind = learned.cell, type(learned.classifier)
    shipped = kind.__module__.startswith(f"{ROOM}.")
    document = _Document.of(
        cell,
        schema_version=SCHEMA,
        classifier=f"{kind.__module__}:{kind.__name__}" if shipped else kind.__name__,
        source=cell.setting.definition.sha256,
        cell_key=learned.cell_key,
        class_names=learned.class_names,
        template=learned.template,
        weights=learned.weights,
        chosen=dict(learned.chosen),
    )
    return {**(about or {}), DOCUMENT: document.model_dump_json()}


def _class_of(spec: str, setting: Setting, path: Path) -> type[Classifier]:
    """The class of a classifier: one of the project's, or of the method's own module; no other code is looked at."""
    module, _, name = spec.rpartition(":")
    if module and not module.startswith(f"{ROOM}."):
        raise UserError(f"{path}: names a classifier of {module}, which holds no methods")
    try:
        found = getattr(importlib.import_module(module or setting.definition.definition.__module__), name)
    except (ImportError, AttributeError):
        raise UserError(f"{path}: this version has no classifier {spec}; use the one that wrote it") from None
    if not (isinstance(found, type) and issubclass(found, Classifier)):
        raise UserError(f"{path}: {spec} is no classifier")
    return found
