"""Whether a state dict fits an architecture, and what to tell the user if it does not."""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from dualpt.core.errors import UserError

SCALE = "logit_scale"
"""A key that every CLIP's state dict has, whoever wrote it."""
SHOWN = 3
"""Keys of each kind that an error line names."""
LARGEST_SCALE = 10.0
"""Bound on the logarithm that CLIP stores: training clips it at log(100) = 4.6052; a scale itself is far above."""
ADAPTER_KEYS = ("lora_", ".base_layer.", "adapter")

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

logger = logging.getLogger(__name__)


def fitting(state: dict[str, Tensor], shapes: Shapes, name: str, path: Path) -> dict[str, Tensor]:
    """The state dict, which has every key of the architecture, no other, and the same shapes.

    Args:
        state: as the file has it; some files hold the logit scale as (1,).
        shapes: of the architecture's weights.
        name: the architecture's.
        path: the file.

    Raises:
        UserError: saying which keys do not fit, or that the logit scale cannot be right.
    """
    if SCALE in state and state[SCALE].numel() == 1:
        state = {**state, SCALE: state[SCALE].reshape(shapes[SCALE])}
    if misfits := describe_misfits(state, shapes):
        raise UserError(f"{path}: these weights do not fit {name}: {misfits}")
    check_logit_scale(state[SCALE], path)
    return state


def check_formats(state: Mapping[str, Tensor], formats: Mapping[str, str], precision: str) -> None:
    """Refuse weights that are finite, and not once they are rounded to fp16, which ends at 65,504.

    Raises:
        UserError: naming the weight.
    """
    for key, value in state.items():
        if formats[key] == "float16" and not value.float().half().isfinite().all():
            raise UserError(f"backbone.precision: {precision} cannot hold {key}; use bf16 or fp32")


def describe_misfits(state: Mapping[str, Tensor], expected: Shapes) -> str:
    """How the keys and shapes of a state dict differ from a model's, with the remedy; empty if they do not."""
    shapes = [
        f"{key} is {tuple(state[key].shape)}, wanted is {shape}"
        for key, shape in expected.items()
        if key in state and state[key].shape != shape
    ]
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    parts = [
        *([some(shapes, "shapes differ")] if shapes else []),
        *([f"{_count(missing)} missing ({some(missing)})"] if missing else []),
        *([f"{_count(unknown)} not in this architecture ({some(unknown)})"] if unknown else []),
    ]
    return "; ".join([*parts, _remedy(missing, unknown)]) if parts else ""


def is_adapter(key: str) -> bool:
    """Whether a key is of an adapter beside the weights, without which they are not what was trained."""
    return any(mark in key for mark in ADAPTER_KEYS)


def check_logit_scale(stored: Tensor, path: Path) -> None:
    """Refuse a logit scale that cannot be a logarithm, and warn if bfloat16 has rounded it.

    Raises:
        UserError: it is far from anything that training gives.
    """
    value = float(stored.detach())
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


def some(items: Sequence[str], what: str = "") -> str:
    """The first of the items, and how many more there are."""
    rest = len(items) - SHOWN
    more = f" and {rest} more{f' {what}' if what else ''}" if rest > 0 else ""
    return ", ".join(items[:SHOWN]) + more


def _remedy(missing: Sequence[str], unknown: Sequence[str]) -> str:
    if any(map(is_adapter, unknown)):
        return "merge the adapters into the weights before saving them"
    if missing and unknown:
        return "name their architecture in backbone.name, or save the CLIP's state_dict() by its own keys"
    if unknown:
        return "leave them out of the file, or name the architecture that has them in backbone.name"
    return "name their architecture in backbone.name"
