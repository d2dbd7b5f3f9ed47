"""What open_clip knows of architectures and weights, cached on disk: who encodes no images need not import it.

`import open_clip` takes 3.3 s, whichever part is asked for. What one process learns from it, later ones read: its
architectures and published weights, and an outline of each model that was meant. It is kept under open_clip's version
and place; where nothing is kept, or not as it was written, open_clip is imported and asked again. In a process that has
imported it anyway, its own word counts: there may be architectures that were registered since. Loads no torch.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dualpt.core.files.fingerprint import file_sha256, fingerprint
from dualpt.core.files.locations import cache_root, remember

Config = dict[str, Any]

OPEN_CLIP = "open_clip"
MINI_CLIP_SOURCE = Path(__file__).parents[1] / "mini" / "clip.py"
FORMAT = 1
"""Raise it when another thing is kept under a name."""


@dataclass(frozen=True)
class Outline:
    """A model without its weights."""

    shapes: Mapping[str, tuple[int, ...]]
    """Of every weight, by open_clip's key."""
    formats: Mapping[str, str]
    """Number formats in the precision that was asked for, such as `float32`."""
    image_size: tuple[int, int]
    """Height and width in pixels."""
    width: int
    """D, the joint width."""
    n_positions: int
    """P, local features per image; 0 where the image tower is one that has none here."""
    hidden_width: int
    """W, the width before the projection; 0 for towers that have no such features."""


def open_clip_folder() -> Path:
    """Where open_clip is installed, found without importing it."""
    spec = find_spec(OPEN_CLIP)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


def known_names() -> list[str]:
    """The names of open_clip's architectures."""
    if _is_imported():
        from open_clip import list_models

        return list(list_models())
    return list(_tables()["architectures"])


def known_config(name: str) -> Config | None:
    """open_clip's configuration of an architecture; None for other names."""
    if _is_imported():
        from open_clip import get_model_config

        return get_model_config(name) if name in known_names() else None
    found: Config | None = _tables()["architectures"].get(name)
    return None if found is None else dict(found)


def known_weights() -> dict[str, dict[str, Config]]:
    """open_clip's entries for published weights, by architecture and tag."""
    if _is_imported():
        from dualpt.core.clip.whole_model import published_weights

        return published_weights()
    found: dict[str, dict[str, Config]] = _tables()["weights"]
    return found


def config_defaults(part: str) -> Config:
    """What open_clip takes for what `text_cfg` or `vision_cfg` leaves out."""
    found: Config = _tables()["defaults"][part]
    return found


def outline(config: Config | None, precision: str) -> Outline:
    """The outline of a model.

    Args:
        config: as open_clip's `CLIP` takes it; None for `mini-clip`.
        precision: number format of the towers.

    Raises:
        Exception: whatever open_clip raises where the configuration is none.
    """

    def draw() -> Config:
        from dualpt.core.clip.whole_model import outline_of

        return outline_of(config, precision)

    about = [file_sha256(MINI_CLIP_SOURCE) if config is None else config, precision]
    found = remembered("outline", about, draw)
    return Outline(
        shapes={key: tuple(shape) for key, (shape, _) in found["weights"].items()},
        formats={key: dtype for key, (_, dtype) in found["weights"].items()},
        image_size=tuple(found["image_size"]),
        width=found["width"],
        n_positions=found["n_positions"],
        hidden_width=found["hidden_width"],
    )


def remembered(kind: str, about: object, learn: Callable[[], Any]) -> Any:
    """What is kept under a name, or what `learn` gives, which is kept then; JSON either way.

    Args:
        kind: what is kept, in a word.
        about: of what, JSON-like.
        learn: asks open_clip.
    """
    path = cache_root() / "open-clip" / f"{kind}-{fingerprint([about, *_installation()])[:32]}.json"
    with suppress(OSError, ValueError):
        digest, _, content = path.read_text(encoding="utf-8").partition("\n")
        if digest == _sha256(content):
            return json.loads(content)
    content = json.dumps(learn())
    remember(path, f"{_sha256(content)}\n{content}")
    return json.loads(content)


def _tables() -> dict[str, Any]:
    return _tables_in(cache_root())


@cache
def _tables_in(_: Path) -> dict[str, Any]:
    """Read once per cache folder."""

    def ask() -> dict[str, Any]:
        from dualpt.core.clip.whole_model import tables

        return tables()

    found: dict[str, Any] = remembered("tables", None, ask)
    return found


def _is_imported() -> bool:
    return OPEN_CLIP in sys.modules


def _installation() -> list[object]:
    """What tells one open_clip from another, edited in its place or not."""
    folder = open_clip_folder()
    times = [(folder / part).stat().st_mtime_ns for part in ("pretrained.py", "model.py", "model_configs")]
    return [FORMAT, version("open_clip_torch"), str(folder), times]


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
