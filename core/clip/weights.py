"""Which weights a backbone loads: named, found and fingerprinted before any model is built.

`pretrained` is an open_clip tag, the path of a local file or checkpoint folder, or `random`; `mini-clip` alone needs
none. A folder brings its own architecture (`backbone.name=auto`, or the same named). Nothing is downloaded unless a tag
is named. Importing this module loads no torch, and neither does fingerprinting the shipped weights, a safetensors file
or a folder of transformers.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dualpt.core.clip.transformers_layout import CONFIG_FILE, read_folder
from dualpt.core.clip.transformers_vocabulary import Vocabulary
from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256, fingerprint
from dualpt.core.files.json_reader import read_json
from dualpt.core.files.regular import check_regular

MINI_CLIP = "mini-clip"
MINI_CLIP_FILE = Path(__file__).parents[1] / "mini" / "clip.safetensors"
AUTO = "auto"
"""`backbone.name` of weights that bring their architecture."""
RANDOM = "random"
RANDOM_SEED = 0
"""Seed of `pretrained: random`."""

HUB_CONFIG = "open_clip_config.json"
HUB_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What an open_clip folder of the hub holds."""


@dataclass(frozen=True)
class Weights:
    """Where the weights of one backbone are, and what is known about them."""

    fingerprint: str
    """SHA-256 of the file; of architecture, seed and library versions for random weights; of all files' hashes, the
    architecture and the vocabulary where it is not CLIP's for a folder of transformers."""
    path: Path | None
    """The file or the folder, or None for random weights."""
    preprocess: dict[str, Any] = field(default_factory=dict)
    """open_clip's `mean`, `std`, `interpolation` and `resize_mode`, as far as known."""
    by_openai: bool = False
    """One of OpenAI's original files, by its published SHA-256."""
    config: dict[str, Any] | None = None
    """The architecture as open_clip's `CLIP` takes it, where the weights bring it."""
    shards: tuple[Path, ...] = ()
    """The files of a folder of transformers, whose keys are not open_clip's; empty for other weights."""
    vocabulary: Vocabulary | None = None
    """Tokens and ids of a transformers folder whose vocabulary is not CLIP's."""


def weights_fingerprint(name: str, pretrained: str | None) -> str:
    """The fingerprint that `load_backbone` will report, without building a model.

    Raises:
        UserError: as `find_weights`.
    """
    return find_weights(name, pretrained).fingerprint


def find_weights(name: str, pretrained: str | None) -> Weights:
    """Find the weights of `backbone.name` and `backbone.pretrained`; a named tag is downloaded where not cached.

    Raises:
        UserError: `pretrained` is missing, or neither a tag of this architecture nor a file or checkpoint folder; the
            weights were trained with another activation or architecture than the one named; the download failed.
    """
    if pretrained == RANDOM and name != AUTO:
        libraries = [version("torch"), version("open_clip_torch")]  # initialisation may change between them
        return Weights(fingerprint([RANDOM, name, RANDOM_SEED, libraries]), path=None)
    if name == MINI_CLIP and pretrained is None:
        return Weights(file_sha256(MINI_CLIP_FILE), MINI_CLIP_FILE)
    path = None if not pretrained else Path(pretrained).expanduser()
    if path is not None and path.is_dir():
        return _from_folder(name, path)
    if path is not None:
        check_regular(path)
    if pretrained is not None and path is not None and path.is_file():
        return _from_file(name, pretrained, path)
    if name == AUTO:
        raise UserError(
            f"backbone.name: {AUTO} takes the architecture from a checkpoint folder, and "
            f"{'backbone.pretrained is not set' if pretrained is None else repr(pretrained) + ' is none'}; give "
            f"backbone.pretrained=FOLDER, or name an architecture"
        )
    if name == MINI_CLIP:
        raise UserError(
            f"backbone.pretrained: '{pretrained}' is not a file; leave it out for the weights that ship with "
            f"{MINI_CLIP}, or give the path of others, or 'random'"
        )
    return _from_tag(name, pretrained or "")


def _from_folder(name: str, folder: Path) -> Weights:
    """A folder that `transformers` or open_clip wrote, which says what its architecture is."""
    if name == MINI_CLIP:
        raise UserError(
            f"backbone.name: {MINI_CLIP} is not the architecture of {folder}; set backbone.name={AUTO} to read it there"
        )
    if (folder / HUB_CONFIG).exists():
        files = [folder / file for file in HUB_WEIGHTS if (folder / file).exists()]
        if not files:
            raise UserError(f"{folder}: has {HUB_CONFIG}, but no weights ({' or '.join(HUB_WEIGHTS)}); complete it")
        return _from_file(name, str(folder), files[0])
    if not (folder / CONFIG_FILE).exists():
        raise UserError(
            f"backbone.pretrained: {folder} is not a checkpoint folder: it has neither {CONFIG_FILE} (transformers) "
            f"nor {HUB_CONFIG} (open_clip); give the path of a weights file, or a folder written by save_pretrained"
        )
    found = read_folder(folder)
    if name != AUTO:
        from dualpt.core.clip.architectures import check_activation, check_same

        check_activation(name, str(folder), found.config["quick_gelu"])
        check_same(name, found.config, folder)
    own_words = [] if found.vocabulary is None else [found.vocabulary.fingerprint]
    return Weights(
        fingerprint([found.config, *map(file_sha256, found.files), *own_words]),
        folder,
        found.preprocess,
        config=found.config,
        shards=found.files,
        vocabulary=found.vocabulary,
    )


def _from_file(name: str, pretrained: str, path: Path) -> Weights:
    """A local file, with what `open_clip_config.json` beside it (as in a hub folder) or its hash tells of it."""
    digest = file_sha256(path)
    if name == MINI_CLIP:
        return Weights(digest, path)
    model_config, preprocess = _configuration_beside(path)
    if name == AUTO:
        return Weights(digest, path, preprocess, config=_brought(model_config, path))
    archive = None
    if model_config is None and path.suffix != ".safetensors":
        from dualpt.core.clip.architectures import published_archive

        archive = published_archive(digest)
    known = model_config or archive
    if known is not None:
        from dualpt.core.clip.architectures import check_activation

        check_activation(name, pretrained, bool(known.get("quick_gelu", False)))
    return Weights(digest, path, archive or preprocess, by_openai=archive is not None)


def _brought(model_config: dict[str, Any] | None, path: Path) -> dict[str, Any]:
    """The architecture in the configuration beside a weights file."""
    if model_config is None:
        raise UserError(
            f"backbone.name: {AUTO} finds no {HUB_CONFIG} beside {path}; name the weights' architecture instead"
        )
    towers = (model_config.get("vision_cfg"), model_config.get("text_cfg"))
    if not all(isinstance(tower, dict) for tower in towers) or type(model_config.get("embed_dim")) is not int:
        raise UserError(f"{path.with_name(HUB_CONFIG)}: not an open_clip configuration; name the architecture instead")
    from dualpt.core.clip.architectures import supported

    return supported(model_config, str(path.with_name(HUB_CONFIG)))


def _configuration_beside(path: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """`model_cfg` and `preprocess_cfg` of the hub configuration in the file's folder, if there is one."""
    file = path.with_name(HUB_CONFIG)
    if not file.exists():
        return None, {}
    remedy = "correct it, or move the weights away from it"
    try:
        config = read_json(file, remedy)
        return dict(config["model_cfg"]), dict(config.get("preprocess_cfg", {}))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{file}: not an open_clip configuration; {remedy}") from None


@lru_cache(maxsize=16)
def _from_tag(name: str, tag: str) -> Weights:
    from dualpt.core.clip.architectures import (
        architecture_config,
        check_activation,
        fetch,
        published_archive,
        tag_config,
    )

    architecture_config(name)
    config = tag_config(name, tag)
    check_activation(name, tag, bool(config.get("quick_gelu", False)))
    path = fetch(name, tag, config)
    digest = file_sha256(path)
    by_openai = path.suffix != ".safetensors" and published_archive(digest) is not None
    return Weights(digest, path, config, by_openai=by_openai)
