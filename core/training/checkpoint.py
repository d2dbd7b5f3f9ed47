"""The state from which a killed run continues, and whose it is: a safetensors file with a checksum over its content.

A state that does not hold is left unused, never repaired: training starts again and says so.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from dualpt.core.arrays import ClassText
from dualpt.core.errors import UserError
from dualpt.core.files.tensor_file import aligned, read_tensors, tensor_bytes, write_tensors
from dualpt.core.prompts.encoder import without_stop
from dualpt.core.recipes import LETTERS_NUMERICS, NUMERICS_VERSION
from dualpt.core.training.alignment import LlmAlignment, LocalScorer
from dualpt.core.training.arguments import LossWeights, PromptOptions, TrainingData
from dualpt.core.training.optim import SGDOptions

logger = logging.getLogger(__name__)

Options = PromptOptions | LossWeights | LlmAlignment | LocalScorer | SGDOptions

ADDED_LATER: dict[str, object] = {"global_weight": 1.0}
"""Knobs without a default that came after the first checkpoints were written, and what every replica then had."""


@dataclass(frozen=True)
class TrainState:
    """Training after some complete epochs. Random draws are stateless, so nothing else is needed."""

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
    """`run_fingerprint` of what the run is asked for."""

    def is_due(self, epoch: int) -> bool:
        """Whether to save after `epoch` complete epochs."""
        return epoch % self.every == 0

    def save(self, state: TrainState) -> bool:
        """Write the state; False if the disk does not take it, which costs a resumed run some epochs and no result.

        The file of an earlier epoch then stays.
        """
        tensors = {"contexts": state.contexts, "momentum": state.momentum, "losses": state.losses}
        try:
            write_tensors(self.path, tensors, {"fingerprint": self.fingerprint, "seconds": repr(state.seconds)})
        except (OSError, SafetensorError) as error:  # safetensors raises its own where the disk is full
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
            tensors, metadata = read_tensors(self.path, "a training state")
            if metadata["fingerprint"] == self.fingerprint:
                return TrainState(**aligned(tensors), seconds=float(metadata["seconds"]))
            reason = f"{self.path}: belongs to a run with other arguments"
        except UserError as error:
            reason = str(error)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{self.path}: not a training state ({error})"
        logger.warning("starting from the first epoch, not from the checkpoint: %s", reason)
        return None


def run_fingerprint(data: TrainingData, options: Sequence[Options], period: int, **arguments: object) -> str:
    """Hash of what a run is asked for.

    Features of images are left out: a checkpoint's path stands for those.

    Args:
        options: of prompts, loss, alignment and optimiser.
        period: the token of a full stop.
        arguments: what has no options class.
    """
    text, numerics = as_numbered(data.text, period)
    of_data = {"text": text, "numerics": numerics, "train_labels": data.labels, "samples": data.samples}
    return fingerprint_of({**of_data, **arguments, **knobs_of(options)})


def knobs_of(options: Sequence[Options]) -> dict[str, object]:
    """The fields of options by their names.

    One that has a default came after the first checkpoints were written: it counts where it is set to something else,
    and those checkpoints stay valid.
    """
    knobs: dict[str, object] = {}
    for option in options:
        for field in fields(option):
            value = getattr(option, field.name)
            before = ADDED_LATER.get(field.name, field.default)
            if before is MISSING or any(one != before for one in _each(value)):
                knobs[field.name] = value
    return knobs


def _each(value: object) -> Sequence[object]:
    """A value per replica, or the one value of all."""
    return value if isinstance(value, list | tuple) else [value]


def as_numbered(text: ClassText, period: int) -> tuple[ClassText, int]:
    """Classes as the version in which their numbers last moved held them, and that version.

    Names were without their full stops before one could be part of a name's last token.
    """
    parts = [without_stop(tokens, period) for tokens in text.name_tokens]
    if not all(stop for _, stop in parts):
        return text, NUMERICS_VERSION
    return replace(text, name_tokens=tuple(tuple(name) for name, _ in parts)), LETTERS_NUMERICS


def fingerprint_of(arguments: Mapping[str, object]) -> str:
    """Hash of named arguments: numbers, strings, tensors (by their bytes), sequences and dataclasses of these."""
    digest = hashlib.sha256()
    for name in sorted(arguments):
        digest.update(json.dumps([name, _plain(arguments[name])]).encode())
    return digest.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Tensor):
        return [str(value.dtype), list(value.shape), hashlib.sha256(tensor_bytes(value)).hexdigest()]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
