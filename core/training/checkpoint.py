"""What training leaves on disk: learned contexts, and the state from which a killed run continues.

Both are safetensors files, written beside their place and then moved there, so that a reader never sees half a file.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from safetensors.torch import save_file
from torch import Tensor

from dualpt.core.errors import UserError

logger = logging.getLogger(__name__)


def save_contexts(path: Path, contexts: Tensor, metadata: Mapping[str, str] | None = None) -> None:
    """Write learned contexts, (N, L, W) or (C, N, L, W), with what a reader should know about them."""
    _write(path, {"contexts": contexts}, dict(metadata or {}))


def contexts_file(contexts: Tensor, metadata: Mapping[str, str]) -> bytes:
    """The content of the file that `save_contexts` writes."""
    return serialize({"contexts": contexts.detach().cpu().contiguous()}, dict(metadata))


def load_contexts(path: Path) -> tuple[Tensor, dict[str, str]]:
    """Read contexts and their metadata.

    Raises:
        UserError: the file is missing or holds no contexts.
    """
    try:
        tensors, metadata = _read(path)
        return tensors["contexts"], metadata
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{path}: not a file of learned contexts ({error})") from None


@dataclass(frozen=True)
class TrainState:
    """Training after some whole epochs. Random draws are stateless, so that nothing else is needed."""

    contexts: Tensor
    """(R, ...)"""
    momentum: Tensor
    """(R, ...), the optimiser's buffer."""
    losses: Tensor
    """(epochs done, R) float64, mean loss of each epoch and replica."""
    seconds: float
    """Wall time spent so far."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state, how often, and what it may continue from."""

    path: Path
    every: int
    """Epochs between two saves."""
    fingerprint: str
    """`fingerprint_of` the run's arguments."""

    def is_due(self, epoch: int) -> bool:
        """Whether to save after `epoch` whole epochs."""
        return epoch % self.every == 0

    def save(self, state: TrainState) -> bool:
        """Write the state; False where the disk does not take it, which costs a resumed run some epochs and no result.

        The file of an earlier epoch stays then.
        """
        tensors = {"contexts": state.contexts, "momentum": state.momentum, "losses": state.losses}
        try:
            _write(self.path, tensors, {"fingerprint": self.fingerprint, "seconds": repr(state.seconds)})
        except (OSError, SafetensorError) as error:  # safetensors' own where its file cannot be written
            logger.warning("%s: no checkpoint is written, and training goes on without (%s)", self.path, error)
            return False
        return True

    def load(self) -> TrainState | None:
        """The state saved by a run with the same arguments, or None where there is none.

        A state of other arguments, or a damaged file, is left unused with a warning; the next save replaces it.
        """
        if not self.path.exists():
            return None
        try:
            tensors, metadata = _read(self.path)
            if metadata["fingerprint"] == self.fingerprint:
                return TrainState(**tensors, seconds=float(metadata["seconds"]))
            reason = "it belongs to a run with other arguments"
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = f"it cannot be read ({error})"
        logger.warning("%s: starting from the first epoch, not from this checkpoint: %s", self.path, reason)
        return None


def fingerprint_of(arguments: Mapping[str, object]) -> str:
    """Hash of named arguments: numbers, strings, tensors (by their bytes), sequences and dataclasses of these."""
    digest = hashlib.sha256()
    for name in sorted(arguments):
        digest.update(json.dumps([name, _plain(arguments[name])]).encode())
    return digest.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return [str(value.dtype), list(value.shape), hashlib.sha256(content).hexdigest()]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part, metadata)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
