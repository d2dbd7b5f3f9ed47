"""A weights file as a state dict: read without running its code, unwrapped, with plain keys and sound values.

Training scripts wrap a CLIP in many ways: beside an optimiser, under some key, with the names of the modules that held
it before every key. Inside, they are all the same.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from dualpt.core.clip.architectures import check_activation, first_line
from dualpt.core.clip.misfits import SCALE, is_adapter, some
from dualpt.core.clip.transformers_layout import CONFIG_FILE
from dualpt.core.clip.transformers_weights import is_transformers_state, to_open_clip
from dualpt.core.clip.weights import AUTO, Weights
from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_fetched, check_regular
from dualpt.core.files.tensor_values import check_values

OPENAI_MARK = "input_resolution"
ARCHIVE_CONSTANTS = (OPENAI_MARK, "context_length", "vocab_size")
"""What only OpenAI's files hold besides weights."""
USUAL_KEYS = ("state_dict", "model_state_dict", "model")
"""Where to find the model in a file with several (an averaged copy beside it, say); the first of these that exists."""
DEEPEST = 3
"""Levels of nested mappings that are searched for a state dict."""
WRAPPING_MODULES = re.compile(r"(?<![^.])(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Names that PyTorch's own wrappers put into keys: data parallelism, compilation, sharding, recomputation."""
AVERAGES = "n_averaged"
"""A count that PyTorch's averaged models (`AveragedModel`, of SWA and EMA) keep beside the `module.` they hold."""
NOT_WEIGHTS = ("num_batches_tracked", "position_ids", "input_resolution", "context_length", "vocab_size")
"""Endings of the keys that may hold integers."""

logger = logging.getLogger(__name__)


def read_weights(weights: Weights, name: str) -> dict[str, Tensor]:
    """The weights of an architecture with open_clip's keys, from whatever files they lie in.

    Raises:
        UserError: as `read_state`; or they were trained with another activation than the architecture has.
    """
    assert weights.path is not None
    if weights.shards:
        return to_open_clip(read_shards(weights.shards))
    state = read_state(weights.path, weights.by_openai)
    if is_transformers_state(state):
        raise UserError(
            f"{weights.path}: a checkpoint of transformers; give the folder it lies in, with its {CONFIG_FILE}"
        )
    if OPENAI_MARK in state and name != AUTO:  # OpenAI's own state dict, whoever saved it
        check_activation(name, str(weights.path), trained_quick=True)
    return {key: value for key, value in state.items() if key not in ARCHIVE_CONSTANTS}


def read_state(path: Path, trusted_archive: bool = False) -> dict[str, Tensor]:
    """Read a weights file: safetensors, or a torch file, from which only tensors are taken.

    Args:
        path: the file.
        trusted_archive: the file is a TorchScript archive of known origin. Such archives may run code, so they are
            opened only where their SHA-256 is one that OpenAI published.

    Returns:
        The state dict of the model in the file, on the CPU, without prefixes that stand before every key.

    Raises:
        UserError: another format, a damaged file, no state dict or several, or values that cannot be right.
    """
    state = _plain_keys(_model_in(path, trusted_archive), path)
    _check_weights(state, path)
    return state


def read_shards(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Read the files that hold one model together, as `read_state` does; a prefix applies to all of them.

    Raises:
        UserError: as `read_state`.
    """
    merged: dict[str, Tensor] = {}
    for path in paths:
        shard = _model_in(path)
        _check_weights(shard, path)
        merged |= shard
    return _plain_keys(merged, paths[0].parent)


def read_torch_file(path: Path) -> Any:
    """The content of a torch file without running its code.

    Objects other than tensors and plain containers (NumPy scalars in an optimiser, the arguments of a script) become
    empty placeholders.

    Raises:
        UnpicklingError: it holds something that this cannot replace; and whatever `torch.load` raises on damaged files.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:
        if not is_zipfile(path):  # the format before torch 1.6 does not list its classes
            raise
    placeholders: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        _placeholder(name) for name in get_unsafe_globals_in_checkpoint(str(path))
    ]
    with safe_globals(placeholders):
        return torch.load(path, map_location="cpu", weights_only=True)


class _Placeholder:
    """Takes the place of an object whose class is not loaded; its content is dropped."""

    def __new__(cls, *args: object, **kwargs: object) -> "_Placeholder":
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _placeholder(full_name: str) -> type[_Placeholder]:
    """A class under the name of another, by which torch's restricted unpickler finds it."""
    module, _, name = full_name.rpartition(".")
    return type(name, (_Placeholder,), {"__module__": module})


def _model_in(path: Path, trusted_archive: bool = False) -> dict[str, Tensor]:
    """The state dict of the model in a file, as it is written there."""
    check_regular(path)
    return _model_state(_content(path, trusted_archive), path)


def _check_weights(state: Mapping[str, Tensor], path: Path) -> None:
    check_values({key: value for key, value in state.items() if not key.endswith(NOT_WEIGHTS)}, path)


def _content(path: Path, trusted_archive: bool) -> Any:
    try:
        check_fetched(path)
        if path.suffix == ".safetensors":
            return load_file(path)
        if trusted_archive:
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
        if _is_torchscript(path):
            raise UserError(f"{path}: a TorchScript archive, which may run code; convert it to safetensors")
        return read_torch_file(path)
    except UnpicklingError:  # torch's own line advises to run the file's code
        raise UserError(
            f"{path}: not a safetensors file or a plain state dict (damaged, or with objects other than tensors); "
            "convert it to safetensors"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError, BadZipFile) as error:
        raise UserError(
            f"{path}: not a safetensors file or a plain state dict ({first_line(error)}); convert it to safetensors"
        ) from None


def _is_torchscript(path: Path) -> bool:
    """A zip file with code in it; plain torch files are zip files without."""
    if not is_zipfile(path):
        return False
    with ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _model_state(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in a file's content, wherever its writer put it."""
    found = dict(_states_in(content))
    models = {place: state for place, state in found.items() if any(_is_scale(key) for key in state)} or found
    usual = [place for place in ("", *USUAL_KEYS) if place in models]
    if usual:
        return models[usual[0]]
    if len(models) > 1:
        raise UserError(f"{path}: holds several state dicts ({', '.join(models)}); save the one to use alone")
    if not models:
        raise UserError(f"{path}: holds no state dict; save the model's state_dict() as safetensors")
    return next(iter(models.values()))


def _states_in(content: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Mappings from names to tensors only, each with the dotted keys that lead to it."""
    if not isinstance(content, Mapping) or not content or depth > DEEPEST:
        return
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        yield place, dict(content)
        return
    for key, value in content.items():
        yield from _states_in(value, f"{place}.{key}" if place else str(key), depth + 1)


def _plain_keys(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The state dict without the names of modules that held the model: `model.`, `module.`, `base_model.model.`, ...

    What stands beside the model within them (a metric's counts, the head of a classifier) is none of its weights.
    """
    unwrapped = {WRAPPING_MODULES.sub("", key): value for key, value in state.items()}
    scales = [key for key in unwrapped if _is_scale(key)]
    prefix = scales[0].removesuffix(SCALE) if len(scales) == 1 else ""
    if len(unwrapped) != len(state):
        raise UserError(f"{path}: holds one weight under two names; save the model's state_dict() without wrappers")
    beside = [key for key in unwrapped if not key.startswith(prefix)]
    if any(is_adapter(key) for key in beside):
        raise UserError(f"{path}: holds adapters ({some(beside)}); merge them into the weights before saving them")
    if beside:
        logger.warning("%s: the CLIP is what stands under '%s'; left out: %s", path, prefix, some(beside))
    plain = {key.removeprefix(prefix): value for key, value in unwrapped.items() if key.startswith(prefix)}
    plain.pop(AVERAGES, None)
    return plain


def _is_scale(key: str) -> bool:
    return key == SCALE or key.endswith(f".{SCALE}")
