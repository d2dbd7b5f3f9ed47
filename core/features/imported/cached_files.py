"""Arrays in files that others wrote: torch, NumPy and safetensors. No code in them runs, and no object is made."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_fetched, check_regular

SUFFIXES = (".pt", ".pth", ".npz", ".npy", ".safetensors")
OBJECTS = (
    "{place}: holds objects other than tensors, or is damaged; objects may run code and aren't read; save plain tensors"
)


@dataclass(frozen=True)
class FileArrays:
    """What one file holds."""

    tensors: Mapping[str, Tensor]
    """By name, on the CPU; the empty name where the file is one tensor."""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Arrays of text by name."""


def read_arrays(path: Path) -> FileArrays:
    """The arrays in a file, whose suffix is one of `SUFFIXES`.

    Raises:
        UserError: a file that holds objects, is damaged, or holds what is no array of numbers; in one line.
    """
    check_regular(path)
    try:
        check_fetched(path)
        found = _read(path)
    except UnpicklingError:
        raise UserError(OBJECTS.format(place=path)) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError, BadZipFile) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise UserError(f"{path}: cannot be read ({first:.120}); fetch or save it again") from None
    for name, tensor in found.tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
            raise UserError(f"{_place(path, name)}: not a plain array of numbers; save a dense tensor")
    return found


def _read(path: Path) -> FileArrays:
    match path.suffix:
        case ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return _from_numpy({name: _member(archive, name, path) for name in archive.files}, path)
        case ".npy":
            return _from_numpy({"": _loaded(path)}, path)
        case ".safetensors":
            return FileArrays(load_file(path))
        case _:
            with warnings.catch_warnings(action="ignore"):  # of odd files, which are refused in a line of ours
                return _from_torch(torch.load(path, map_location="cpu", weights_only=True), path)


def _member(archive: Any, name: str, path: Path) -> Any:
    try:
        return archive[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise UserError(OBJECTS.format(place=_place(path, name))) from None
        raise


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise UserError(OBJECTS.format(place=path)) from None
        raise


def _from_numpy(arrays: Mapping[str, Any], path: Path) -> FileArrays:
    tensors, words = {}, {}
    for name, array in arrays.items():
        if array.dtype.kind in "US":
            text = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
            words[name] = tuple(map(str, text.flatten().tolist()))
        elif array.dtype.kind in "fiub":
            tensors[name] = torch.from_numpy(np.ascontiguousarray(array.astype(_native(array.dtype))))
        else:
            raise UserError(f"{_place(path, name)}: holds {array.dtype}, not numbers; save arrays of numbers")
    return FileArrays(tensors, words)


def _native(dtype: Any) -> Any:
    """The same numbers in a format that torch has."""
    if dtype.kind == "u":
        return np.int64
    return np.float64 if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("=")


def _from_torch(content: object, path: Path) -> FileArrays:
    if isinstance(content, Tensor):
        return FileArrays({"": content.detach()})
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a tensor; save one tensor, or a dict of them")
    values = dict(_flat(content))
    tensors = {name: value.detach() for name, value in values.items() if isinstance(value, Tensor)}
    words = {
        name: tuple(value)
        for name, value in values.items()
        if isinstance(value, list | tuple) and value and all(isinstance(word, str) for word in value)
    }
    return FileArrays(tensors, words)


def _flat(content: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The values of dicts in dicts, named `train.features`."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _place(path: Path, name: str) -> str:
    return f"{path}: {name}" if name else str(path)
