"""Whether tensors hold numbers that a model can use; finds damage that loads without complaint."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dualpt.core.errors import UserError

WEIGHT_FORMATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def check_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are plainly wrong; takes a fraction of the time that reading them takes.

    Args:
        tensors: the weights by their names in the file, without counters and ids.
        path: the file, for the error line.

    Raises:
        UserError: naming the first tensor that is not of a floating-point format, not finite, or a matrix of zeros.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in WEIGHT_FORMATS:
            raise UserError(
                f"{path}: {name} is {str(tensor.dtype).removeprefix('torch.')}; quantised or truncated weights are not "
                "supported, save them in a floating-point format of 16 bits or more"
            )
        if not tensor.numel():
            continue
        smallest, largest = torch.aminmax(tensor)  # both are NaN where one value is
        if not (smallest.isfinite() and largest.isfinite()):
            raise UserError(f"{path}: {name} holds values that are not finite; fetch or train the weights again")
        if tensor.ndim > 1 and smallest == largest == 0:
            raise UserError(f"{path}: {name} is zero everywhere; fetch or train the weights again")
