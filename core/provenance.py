"""What numbers were computed with, besides the setting: weights, software, device, and the version of the numerics."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import torch

from dualpt.core.recipes import NUMERIC_PACKAGES, NUMERICS_VERSION

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
    """Packages and their versions, in one line."""
    numerics: int = NUMERICS_VERSION
    """`dualpt.core.recipes.NUMERICS_VERSION` at the time."""


def provenance_of(weights: str, device: torch.device) -> Provenance:
    """The provenance of what is computed in this process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Provenance(weights=weights, device=name, software=software())


@lru_cache(maxsize=1)
def software() -> str:
    """`dualpt 0.1.0, torch 2.14.1, ...`; packages that are not installed are left out."""
    found = []
    for package in NUMERIC_PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # a checkout that is on the path without being installed
            continue
    return ", ".join(found)
