"""Whether the project's kernels run in place of torch's: on a GPU that they were made for, unless told otherwise.

`DUALPT_GPU_KERNELS` decides: unset, they are used for towers in half precision; `torch` turns them off; `triton` asks
for them in float32 and on older devices, too. Not part of a setting or of a cell's key: like the replay of steps as a
CUDA graph, kernels change how numbers are calculated and not which, and differ from torch's by rounding. Triton's
version is on record with the software.
"""

import logging
import os
from functools import cache
from importlib.util import find_spec

import torch

from dualpt.core.provenance import KERNELS, asked_kernels

logger = logging.getLogger(__name__)

CAPABILITY = (9, 0)
"""From that of the device that they were measured on (H200); compiled for older ones, attention's gradient spills."""


def kernels_serve(device: torch.device, dtype: torch.dtype | None = None) -> bool:
    """Whether to use the project's kernels; where one would expect them and can't, a warning says why, once.

    Args:
        dtype: Number format of a tower; None for what is always calculated in float32.

    Raises:
        UserError: the variable names no kernels.
    """
    asked = asked_kernels()
    if asked == "torch" or (asked == "auto" and (device.type != "cuda" or dtype == torch.float32)):
        return False
    reason = unavailable(device)
    if reason:
        say(reason)
    return not reason


def unavailable(device: torch.device) -> str:
    """Why the kernels can't run on a device; empty where they can. Compiles one to see, the first time."""
    if find_spec("triton") is None:
        return "triton is not installed"
    if device.type != "cuda":
        return "" if _interprets() else f"they need a CUDA device, and this is {device.type}"
    capability = torch.cuda.get_device_capability(device)
    if capability < CAPABILITY and asked_kernels() == "auto":
        found, oldest = (".".join(map(str, version)) for version in (capability, CAPABILITY))
        return (
            f"the device has compute capability {found}, and they are measured from {oldest} on; "
            f"{KERNELS}=triton tries them"
        )
    return _trial(device)


@cache
def say(reason: str) -> None:
    """Warn that torch's kernels are used, once for each reason."""
    logger.warning("the project's GPU kernels are not used, torch's are (%s=torch asks for them): %s", KERNELS, reason)


@cache
def _trial(device: torch.device) -> str:
    """Why a small kernel does not run: Triton needs a C compiler, and a driver that knows its instructions."""
    from dualpt.core.kernels.sigmoid_gelu import sigmoid_gelu

    try:
        sigmoid_gelu(torch.ones(8, device=device))
    except Exception as error:  # whatever a compiler, a linker or a driver raises
        first = next(iter(str(error).splitlines()), "")
        return f"Triton compiles nothing here: {type(error).__name__}: {first:.200}"
    return ""


def _interprets() -> bool:
    """Whether Triton runs kernels on the CPU, in its interpreter, as the tests do."""
    return os.environ.get("TRITON_INTERPRET") == "1"
