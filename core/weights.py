"""Which weights a backbone is to load: named, found and fingerprinted before any model is built.

`pretrained` is an open_clip tag, the path of a local file, or `random`; `mini-clip` alone needs none. Nothing is
downloaded unless a tag is named. Importing this module loads no torch, and neither does fingerprinting the shipped
weights or a safetensors file.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.errors import UserError
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
        return Weights(file_sha256(MINI_CLIP_FILE), MINI_CLIP_FILE)
    if pretrained is not None and (path := Path(pretrained).expanduser()).is_file():
        return _from_file(name, pretrained, path)
    if name == MINI_CLIP:
        raise UserError(
            f"backbone.pretrained: '{pretrained}' is no file; leave it out for the weights that ship with {MINI_CLIP}, "
            "or give the path of others, or 'random'"
        )
    return _from_tag(name, pretrained or "")


def _from_file(name: str, pretrained: str, path: Path) -> Weights:
    """A local file, with what `open_clip_config.json` beside it (as in a hub folder) or its hash tells of it."""
    digest = file_sha256(path)
    if name == MINI_CLIP:
        return Weights(digest, path)
    model_config, preprocess = _configuration_beside(path)
    archive = None
    if model_config is None and path.suffix != ".safetensors":
        from core.architectures import published_archive

        archive = published_archive(digest)
    known = model_config or archive
    if known is not None:
        from core.architectures import check_activation

        check_activation(name, pretrained, bool(known.get("quick_gelu", False)))
    return Weights(digest, path, archive or preprocess, by_openai=archive is not None)


def _configuration_beside(path: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """`model_cfg` and `preprocess_cfg` of the hub configuration in the file's folder, if there is one."""
    file = path.with_name("open_clip_config.json")
    if not file.is_file():
        return None, {}
    try:
        config = json.loads(file.read_text())
        return dict(config["model_cfg"]), dict(config.get("preprocess_cfg", {}))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{file}: not an open_clip configuration; mend it, or move the weights away from it") from None


@lru_cache(maxsize=16)
def _from_tag(name: str, tag: str) -> Weights:
    from core.architectures import architecture_config, check_activation, fetch, tag_config

    architecture_config(name)
    config = tag_config(name, tag)
    check_activation(name, tag, bool(config.get("quick_gelu", False)))
    path = fetch(name, tag, config)
    return Weights(file_sha256(path), path, config)
