"""Contexts as files: those that training writes, and CoOp's, from which training can start.

Shapes: C classes, N prompts per class, L context tokens, W text width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from dualpt.core.clip.state_files import read_torch_file
from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_fetched, check_regular
from dualpt.core.files.tensor_file import aligned, read_tensors, tensors_as_bytes, write_tensors

COOP_KEY = "ctx"
"""Name of the contexts in the prompt learners of CoOp and its descendants, after the names of modules."""
BEFORE_KEY = "token_prefix"
"""Name, in the same module, of the embedding of the start token, a row per class."""
BEHIND_KEY = "token_suffix"
"""Name, in the same module, of the embeddings of what stands behind the contexts."""


def save_contexts(path: Path, contexts: Tensor, metadata: Mapping[str, str] | None = None) -> None:
    """Write learned contexts, (N, L, W) or (C, N, L, W), with what a reader should know about them."""
    write_tensors(path, {"contexts": contexts}, metadata or {})


def contexts_file(contexts: Tensor, metadata: Mapping[str, str]) -> bytes:
    """The content of the file that `save_contexts` writes, for whoever stores it elsewhere."""
    return tensors_as_bytes({"contexts": contexts}, metadata)


def load_contexts(path: Path) -> tuple[Tensor, dict[str, str]]:
    """Read contexts and their metadata.

    Raises:
        UserError: the file is missing, damaged, or holds no contexts.
    """
    tensors, metadata = read_tensors(path, "a file of learned contexts")
    contexts = check_contexts(aligned(tensors), path)
    _check_finite(contexts, path)
    return contexts, metadata


def check_contexts(tensors: Mapping[str, Tensor], path: Path) -> Tensor:
    """The contexts, (N, L, W) or (C, N, L, W), among the tensors of a file.

    Raises:
        UserError: there are none.
    """
    contexts = tensors.get("contexts")
    if contexts is None or contexts.ndim not in (3, 4) or not contexts.is_floating_point():
        raise UserError(f"{path}: not a file of learned contexts (no tensor 'contexts' of shape (N, L, W))")
    return contexts


def read_start(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The contexts that `prompt.init` names, to start from.

    Args:
        path: a file of `save_contexts`, or a checkpoint of CoOp's (`model.pth.tar-50`), none of whose code is run.
        shape: of the contexts to train, (N, L, W), or (C, N, L, W) where class-specific.

    Returns:
        Contexts of that shape, float32.

    Raises:
        UserError: the file cannot be read, holds no contexts, or contexts of another shape.
    """
    contexts = load_contexts(path)[0] if path.suffix == ".safetensors" else read_coop(path, "prompt.init").contexts
    found = tuple(contexts.shape)
    if path.suffix != ".safetensors" and contexts.ndim == len(shape) - 1 and shape[-3] == 1:
        contexts = contexts.unsqueeze(-3)  # CoOp has one prompt per class and no dimension for it
    if tuple(contexts.shape) != shape:
        raise UserError(f"prompt.init: {path} holds contexts of shape {found}, {_wanted(shape)}")
    return contexts.float()


@dataclass(frozen=True, eq=False)
class CoopPrompts:
    """What a checkpoint of CoOp's prompt learner, or of a descendant's, holds."""

    contexts: Tensor
    """(L, W), or (C, L, W) where class-specific; PLOT's are (N, L, W). float32."""
    behind: Tensor | None
    """(C, 77 - 1 - L, W): token embeddings of each class's name, period, end and padding; not in every checkpoint."""


def read_coop(path: Path, option: str) -> CoopPrompts:
    """Read a checkpoint that Dassl wrote (`model.pth.tar-50`), none of whose code is run.

    Args:
        path: the checkpoint.
        option: where the user named it, for an error.

    Raises:
        UserError: the file cannot be read, or holds no contexts.
    """
    check_regular(path)
    try:
        check_fetched(path)
        content = read_torch_file(path)
    except FileNotFoundError:
        raise UserError(f"{option}: there is no file {path}") from None
    except (UnpicklingError, OSError, RuntimeError, EOFError, ValueError):
        raise UserError(f"{option}: {path} is neither learned contexts (.safetensors) nor a torch file") from None
    state: Any = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    found = {
        key: value
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if str(key).rpartition(".")[2] == COOP_KEY and isinstance(value, Tensor) and value.is_floating_point()
    }
    if len(found) != 1:
        raise UserError(
            f"{option}: {path} holds no contexts (one tensor '{COOP_KEY}', as in CoOp's prompt learner); name such "
            "a file, or words"
        )
    ((key, contexts),) = found.items()
    _check_finite(contexts, path)
    behind = state.get(f"{str(key).removesuffix(COOP_KEY)}{BEHIND_KEY}")
    return CoopPrompts(contexts.to(torch.float32), behind.float() if isinstance(behind, Tensor) else None)


def _check_finite(contexts: Tensor, path: Path) -> None:
    if not contexts.isfinite().all():
        raise UserError(f"{path}: the learned contexts are not finite; train them again")


def _wanted(shape: tuple[int, ...]) -> str:
    *classes, n_prompts, length, width = shape
    per_class = f" for each of {classes[0]} classes (prompt.class_specific)" if classes else ""
    return (
        f"the setting has {shape}: {n_prompts} prompts (prompt.n_prompts) of {length} tokens (prompt.context_length) "
        f"and the text tower's {width} numbers{per_class}"
    )
