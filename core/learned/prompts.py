"""Learned prompts as a file that explains itself: contexts, and all that a classifier needs besides the backbone.

The file is the safetensors file of `prompts.contexts_file.save_contexts`; what explains it is one JSON document in its
metadata, `DOCUMENT`, so that tools which know nothing of it still read the tensor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from dualpt.core.cell import Cell
from dualpt.core.clip.weights import find_weights
from dualpt.core.config.setting import Setting
from dualpt.core.descriptions.bank import Sentences
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import sentences_of, split_of
from dualpt.core.learned.document import CellDocument
from dualpt.core.prompts.contexts_file import contexts_file, load_contexts, save_contexts

DOCUMENT = "dualpt.prompts"
SCHEMA = 1
WHAT = "a file of learned prompts"


@dataclass(frozen=True, eq=False)
class LearnedPrompts:
    """What training leaves, and what it was trained for."""

    contexts: Tensor
    """(N, L, W), or (C, N, L, W) where class-specific; float32."""
    cell: Cell
    cell_key: str
    class_names: tuple[str, ...]
    """Every class of the dataset by label; base-to-new trained on the first half."""
    sentences: Sentences | None
    """Of every class, where `inference.description_weight` uses them."""
    weights: str
    """SHA-256 of the frozen CLIP's weights, to which the contexts belong."""


class _Document(CellDocument):
    sentences: Sentences | None


def save_prompts(path: Path, prompts: LearnedPrompts, about: Mapping[str, str] | None = None) -> None:
    """Write the file; `about` is further metadata for readers."""
    save_contexts(path, prompts.contexts, _metadata(prompts, about))


def prompts_file(prompts: LearnedPrompts, about: Mapping[str, str] | None = None) -> bytes:
    """The content of the file that `save_prompts` writes, for what stores it elsewhere."""
    return contexts_file(prompts.contexts, _metadata(prompts, about))


def _metadata(prompts: LearnedPrompts, about: Mapping[str, str] | None) -> dict[str, str]:
    document = _Document.of(
        prompts.cell,
        schema_version=SCHEMA,
        cell_key=prompts.cell_key,
        class_names=prompts.class_names,
        sentences=prompts.sentences,
        weights=prompts.weights,
    )
    return {**(about or {}), DOCUMENT: document.model_dump_json()}


def read_document(metadata: Mapping[str, str], path: Path) -> _Document | None:
    """What a file of learned prompts says of itself; None where it is of dualpt before 0.2.

    Args:
        metadata: of the file.
        path: the file, for errors.

    Raises:
        UserError: the document is damaged, or of another schema version.
    """
    return _Document.read(metadata, DOCUMENT, SCHEMA, path, WHAT) if DOCUMENT in metadata else None


def load_prompts(path: Path | str, cell: Cell | None = None) -> LearnedPrompts:
    """Read what `save_prompts` wrote: a cell's `contexts.safetensors`, or what `dualpt train --save` left.

    Args:
        cell: Whose contexts they are. Files of dualpt before 0.2 say nothing of their classes; with their cell, the
            dataset on disk does.

    Raises:
        UserError: the file is missing or damaged, says nothing of its classes, or is of another schema version.
    """
    path = Path(path)
    contexts, metadata = load_contexts(path)
    document = read_document(metadata, path)
    if document is None and cell is not None:
        return _with_classes_on_disk(contexts, cell, metadata.get("cell_key", ""))
    if document is None:
        raise UserError(f"{path}: holds contexts without the classes they were learned for; train and save them again")
    setting = Setting().with_values(document.setting, source=str(path))
    return LearnedPrompts(
        contexts,
        document.cell(setting),
        document.cell_key,
        document.class_names,
        document.sentences,
        document.weights,
    )


def _with_classes_on_disk(contexts: Tensor, cell: Cell, cell_key: str) -> LearnedPrompts:
    setting = cell.setting
    weights = find_weights(setting.backbone.name, setting.backbone.pretrained).fingerprint
    sentences = sentences_of(setting, cell.dataset) if setting.inference.description_weight else None
    names = split_of(setting, cell.dataset).class_names
    return LearnedPrompts(contexts, cell, cell_key, names, sentences, weights)
