"""Which weights a backbone is to load: named, found and fingerprinted before any model is built.

`pretrained` is an open_clip tag, the path of a local file, or `random`; `mini-clip` alone needs none. Nothing is
downloaded unless a tag is named. Importing this module loads no torch, and neither does fingerprinting a local file.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.errors import UserError, nearest
from core.fingerprint import file_sha256, fingerprint

MINI_CLIP = "mini-clip"
MINI_CLIP_FILE = Path(__file__).parent / "mini" / "clip.safetensors"
RANDOM = "random"
RANDOM_SEED = 0
"""Seed of `pretrained: random`."""


@dataclass(frozen=True)
class Weights:
    """Where the weights of one backbone are, and what is known of them."""

    fingerprint: str
    """SHA-256 of the file; of architecture, seed and library versions for random weights."""
    path: Path | None
    """The file, or None for random weights."""
    quick_gelu: bool | None = None
    """Activation they were trained with (OpenAI's: QuickGELU); None where nothing says."""
    preprocess: dict[str, Any] = field(default_factory=dict)
    """open_clip's `mean`, `std`, `interpolation` and `resize_mode`, as far as known."""
    by_openai: bool = False
    """One of OpenAI's original files, by its published SHA-256."""


def weights_fingerprint(name: str, pretrained: str | None) -> str:
    """The fingerprint that `load_backbone` will report, without building a model.

    Raises:
        UserError: as `find_weights`.
    """
    return find_weights(name, pretrained).fingerprint


def find_weights(name: str, pretrained: str | None) -> Weights:
    """Find the weights of `backbone.name` and `backbone.pretrained`; a named tag is downloaded where not cached.

    Raises:
        UserError: `pretrained` is missing, or neither a tag of this architecture nor a file; the weights were trained
            with another activation than the architecture has; the download failed.
    """
    if pretrained == RANDOM:
        libraries = [version("torch"), version("open_clip_torch")]  # initialisation may change between them
        return Weights(fingerprint([RANDOM, name, RANDOM_SEED, libraries]), path=None)
    if name == MINI_CLIP and pretrained is None:
        return _from_file(MINI_CLIP_FILE)
    if pretrained is not None and (path := Path(pretrained).expanduser()).is_file():
        weights = _from_file(path)
        _check_activation(name, pretrained, weights.quick_gelu)
        return weights
    return _from_tag(name, pretrained)


def _from_file(path: Path) -> Weights:
    """A local file; `open_clip_config.json` beside it, as in a hub folder, says how it was trained."""
    digest = file_sha256(path)
    config_file = path.with_name("open_clip_config.json")
    if not config_file.is_file():
        return Weights(digest, path) if path == MINI_CLIP_FILE else _openai_file(digest, path)
    try:
        config = json.loads(config_file.read_text())
        quick_gelu = bool(config["model_cfg"].get("quick_gelu", False))
        return Weights(digest, path, quick_gelu, dict(config.get("preprocess_cfg", {})))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise UserError(
            f"{config_file}: not an open_clip configuration; mend it, or move the weights away from it"
        ) from None


def _openai_file(digest: str, path: Path) -> Weights:
    """Recognise OpenAI's original files: open_clip's table of downloads has their SHA-256 in the address."""
    if path.suffix != ".pt":
        return Weights(digest, path)
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    for model, tag in list_pretrained():
        config = get_pretrained_cfg(model, tag)
        if f"/{digest}/" in config.get("url", ""):
            return Weights(digest, path, bool(config.get("quick_gelu", False)), config, by_openai=True)
    return Weights(digest, path)


@lru_cache(maxsize=16)
def _from_tag(name: str, tag: str | None) -> Weights:
    from open_clip.pretrained import (
        download_pretrained,
        get_pretrained_cfg,
        list_pretrained_models_by_tag,
        list_pretrained_tags_by_model,
    )

    tags = list_pretrained_tags_by_model(name)
    allowed = f"the path of a weights file, 'random', or a tag ({', '.join(tags) or 'none for this architecture'})"
    if tag is None:
        raise UserError(f"backbone.pretrained: {name} needs one of: {allowed}")
    config = get_pretrained_cfg(name, tag)
    if not config:
        others = [other for other in list_pretrained_models_by_tag(tag) if _same_shape(other, name)]
        hint = f"; {others[0]} has it" if others else nearest(tag, tags)
        raise UserError(f"backbone.pretrained: '{tag}' is no file and no tag of {name}{hint} (allowed: {allowed})")
    quick_gelu = bool(config.get("quick_gelu", False))
    _check_activation(name, tag, quick_gelu)
    try:
        path = Path(download_pretrained(config))
    except Exception as error:  # the hub client and urllib have dozens of their own
        raise UserError(
            f"backbone.pretrained: the weights '{tag}' of {name} could not be fetched ({first_line(error)}); "
            "give the path of a local file instead"
        ) from None
    return Weights(file_sha256(path), path, quick_gelu, config)


def _check_activation(name: str, pretrained: str, trained_quick: bool | None) -> None:
    """Weights that run with the wrong activation load without complaint and lose accuracy."""
    if name == MINI_CLIP or trained_quick is None:
        return
    from open_clip import get_model_config

    built_quick = bool((get_model_config(name) or {}).get("quick_gelu", False))
    if trained_quick != built_quick:
        other = f"{name}-quickgelu" if trained_quick else name.removesuffix("-quickgelu")
        trained, built = ("QuickGELU", "GELU") if trained_quick else ("GELU", "QuickGELU")
        raise UserError(
            f"backbone.name: the weights '{pretrained}' were trained with {trained}, {name} has {built}; use {other}"
        )


def _same_shape(one: str, other: str) -> bool:
    """Whether two architectures differ in the activation alone."""
    return one.removesuffix("-quickgelu") == other.removesuffix("-quickgelu")


def first_line(error: BaseException) -> str:
    """The first line of a library's error, short enough to quote."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
