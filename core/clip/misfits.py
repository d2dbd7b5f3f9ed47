"""Whether a state dict is that of an architecture, and what a user should know where it is not."""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.errors import UserError

SHOWN = 3
"""Keys of each kind that an error line names."""
LARGEST_SCALE = 10.0
"""Of the logarithm that CLIP stores: training clips it at log(100) = 4.6052. A scale stored as such is far above."""
ADAPTER_KEYS = ("lora_", ".base_layer.", "adapter")

logger = logging.getLogger(__name__)


def describe_misfits(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """What differs between the keys and shapes of a state dict and of a model, with the remedy; empty where nothing."""
    shapes = [
        f"{key} is {tuple(state[key].shape)}, wanted is {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    parts = [
        *([_some(shapes, "shapes differ")] if shapes else []),
        *([f"{_count(missing)} missing ({_some(missing)})"] if missing else []),
        *([f"{_count(unknown)} not in this architecture ({_some(unknown)})"] if unknown else []),
    ]
    return "; ".join([*parts, _remedy(missing, unknown)]) if parts else ""


def check_logit_scale(stored: Tensor, path: Path) -> None:
    """Refuse a logit scale that cannot be a logarithm, and say where 16 bits have changed it.

    Raises:
        UserError: it is far from any that training gives.
    """
    value = float(stored)
    if abs(value) > LARGEST_SCALE:
        raise UserError(
            f"{path}: logit_scale is {value:.6g}; CLIP stores its logarithm, {math.log(100):.4f} for a scale of 100"
        )
    if stored.dtype == torch.bfloat16:
        logger.warning(
            "%s: logit_scale is stored in bfloat16 and reads %.2f; eight bits are too few for it (a scale of 100 reads "
            "98.86), so store it in float32 if it matters",
            path,
            math.exp(value),
        )


def _count(keys: Collection[str]) -> str:
    return f"{len(keys)} key{' is' if len(keys) == 1 else 's are'}"


def _some(items: Sequence[str], what: str = "") -> str:
    rest = len(items) - SHOWN
    more = f" and {rest} more{f' {what}' if what else ''}" if rest > 0 else ""
    return ", ".join(items[:SHOWN]) + more


def _remedy(missing: Sequence[str], unknown: Sequence[str]) -> str:
    if any(mark in key for key in unknown for mark in ADAPTER_KEYS):
        return "merge the adapters into the weights before saving them"
    if missing and unknown:
        return "name their architecture in backbone.name, or save the CLIP's state_dict() by its own keys"
    return "name their architecture in backbone.name"
