"""Damage to files, as disks and copies do it."""

from pathlib import Path

import numpy as np
from torch import Tensor


def flip_a_bit(path: Path, tensor: Tensor) -> None:
    """The lowest bit of the mantissa of the tensor's first number, wherever that lies in the file."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    place = content.tobytes().index(tensor.contiguous().numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content.tobytes())
