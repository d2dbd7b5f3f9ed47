"""What numbers were computed with, besides the setting: weights, software, device, and the version of the numerics."""

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, cast

import torch

from dualpt.core.errors import UserError
from dualpt.core.recipes import NUMERIC_PACKAGES, NUMERICS_VERSION

KERNELS = "DUALPT_GPU_KERNELS"
"""Environment variable: `torch` or `triton`, by which `dualpt.core.kernels.kernel_choice` goes."""
IMPORTED = "imported "
"""Before the hash of imported features, which stands for the hash of the weights that gave them."""


@dataclass(frozen=True)
class Provenance:
    """Of one cell's numbers."""

    weights: str
    """SHA-256 of the frozen CLIP's weights; of imported features, theirs behind `IMPORTED`."""
    device: str
    """`cpu`, or the accelerator's name."""
    software: str
    """Packages and their versions, in one line; Triton's on a GPU, unless its kernels are turned off."""
    numerics: int = NUMERICS_VERSION
    """`dualpt.core.recipes.NUMERICS_VERSION` at the time."""


def provenance_of(weights: str, device: torch.device) -> Provenance:
    """The provenance of what is computed in this process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Provenance(weights=weights, device=name, software=software(device.type))


@lru_cache(maxsize=2)
def software(device: str) -> str:
    """`dualpt 0.1.0, torch 2.14.1, ...` for a type of device; packages that are not installed are left out."""
    found = []
    kernels = asked_kernels()
    with_triton = kernels == "triton" or (kernels == "auto" and device == "cuda")
    for package in (*NUMERIC_PACKAGES, *(["triton"] if with_triton else [])):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # a checkout that is on the path without being installed
            continue
    return ", ".join(found)


def asked_kernels() -> Literal["auto", "torch", "triton"]:
    """Which kernels `KERNELS` asks for on a GPU; `auto` where it isn't set.

    Raises:
        UserError: it names others.
    """
    asked = os.environ.get(KERNELS) or "auto"
    if asked not in ("auto", "torch", "triton"):
        raise UserError(f"{KERNELS}: '{asked:.40}' names no kernels; unset it, or set it to torch or triton")
    return cast(Literal["auto", "torch", "triton"], asked)
