"""Files that extend another: `extends: mini-grid`, or the path of a file.

Such a file gives only what differs, as overrides on the command line would: sections (`grid`, `setting`, `search`,
`run`) and the search space are gone into key by key, a list or a single value takes the place of the other's, and keys
may be dotted. Null takes a section, or a key of the search space, away.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dualpt.core.config.faults import flatten
from dualpt.core.errors import UserError
from dualpt.core.files.yaml_reader import read_yaml
from dualpt.search_spaces.documents.dropping import with_options_of_kept
from dualpt.search_spaces.sweep import SweepFile

EXTENDS = "extends"
SECTIONS = ("grid", "search", "run")
SPACE = "search.space"

Override = Callable[[dict[str, Any], Mapping[str, Any], Path | str], dict[str, Any]]
"""Sets dotted keys in a document (`sweep_file.override`)."""


def read_extended(
    path: Path, shipped: Callable[[str], Path], override: Override, below: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """A file's document, with what it extends beneath it.

    Args:
        shipped: finds a file of the same kind by its name, among those that ship.
        below: the files that led here.

    Raises:
        UserError: a file is missing or can't be read, a key is unknown, or files extend each other in a circle.
    """
    chain = (*below, path.resolve())
    if chain[-1] in below:
        raise UserError(f"{path}: extends itself ({' extends '.join(one.name for one in chain)}); break the circle")
    own = read_yaml(path)
    if EXTENDS not in own:
        return own
    beneath = read_extended(_extended_by(path, own.pop(EXTENDS), shipped), shipped, override, chain)
    removed = {key for key, value in own.items() if value is None and "." not in key}
    document = {key: value for key, value in beneath.items() if key not in removed}
    changes = {key: value for key, value in own.items() if key not in removed}
    shared = {key: value for key, value in changes.items() if "." in key or key in SweepFile.model_fields}
    overrides = as_overrides(shared, path)
    changed = {**override(document, overrides, path), **_without(changes, shared)}
    return with_options_of_kept(changed, beneath, overrides)


def as_overrides(changes: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A document as the overrides that would give it.

    Raises:
        UserError: a key is given both nested and dotted.
    """
    found: dict[str, Any] = {}
    for key, value in changes.items():
        inner = _of_section(key, value)
        if twice := inner.keys() & found.keys():
            raise UserError(f"{path}: {min(twice)} is given twice, nested and dotted; keep one of them")
        found |= inner
    return found


def _of_section(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    if key == "setting":
        return flatten(value)
    if key in (*SECTIONS, SPACE):
        return {long: one for inner, each in value.items() for long, one in _of_space(f"{key}.{inner}", each).items()}
    return {key: value}


def _of_space(key: str, value: Any) -> dict[str, Any]:
    """The search space key by key; all else as it is."""
    return _of_section(key, value) if key == SPACE else {key: value}


def _extended_by(path: Path, name: Any, shipped: Callable[[str], Path]) -> Path:
    """The file that is meant: one beside the file that names it, else one that ships."""
    if not isinstance(name, str) or not name:
        raise UserError(f"{path}: {EXTENDS}: expected the name of a file that ships, or a path; found {name!r}")
    beside = path.parent / Path(name).expanduser()
    if beside.is_file():
        return beside
    try:
        return shipped(name)
    except UserError as error:
        raise UserError(f"{path}: {EXTENDS}: {error}") from None


def _without(document: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in known}
