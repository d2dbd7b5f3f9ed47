"""Tensors that this project writes: safetensors files that can tell whether they were damaged.

The format checks nothing but its header, so a flipped bit in a tensor reads as another number. Therefore the metadata
holds a SHA-256 of names, types, shapes, values and the other metadata. Older files have none and are read unchecked. A
file is written under another name and then moved, so readers never see half of it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor

from dualpt.core.errors import UserError
from dualpt.core.files.half_written import written_whole
from dualpt.core.files.regular import check_regular

CHECKSUM = "content_sha256"
"""Metadata key of the hash."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the complete file or nothing.

    Raises:
        OSError: the folder cannot be written.
        SafetensorError: the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored, checked = _with_checksum(tensors, metadata)
    with written_whole(path) as part:
        save_file(stored, part, checked)


def tensors_as_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of the file that `write_tensors` writes."""
    return save(*_with_checksum(tensors, metadata))


def _with_checksum(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return stored, {**metadata, CHECKSUM: content_sha256(stored, metadata)}


def read_tensors(path: Path, what: str = "a safetensors file") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, on the CPU, and metadata without the hash.

    Args:
        path: the file.
        what: what it should be, for the error line.

    Raises:
        UserError: the file is missing, not a safetensors file, or its content is not what was written.
    """
    check_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not {what} ({error})") from None
    written = metadata.pop(CHECKSUM, None)
    if written is not None and written != content_sha256(tensors, metadata):
        raise UserError(f"{path}: damaged: its content is not what was written (the checksum differs)")
    return tensors, metadata


def aligned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that lie where PyTorch puts its tensors.

    Those that are read lie in the mapped file, behind a header of any length, and the last bits of a matrix product
    depend on where its operands begin: the same tensors in two files would give two results.
    """
    return {name: tensor.clone() for name, tensor in tensors.items()}


def content_sha256(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Hash of metadata and of every tensor's name, type, shape and bytes, whatever their order."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def tensor_bytes(tensor: Tensor) -> bytes:
    """The values as stored in memory, in row-major order."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
