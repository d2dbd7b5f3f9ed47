"""The list of keys, made from the configuration itself, and a sweep or an ablation with every key's value."""

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape

from dualpt.core.config.sections import Section
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError, nearest
from dualpt.core.method_catalog import BUILT_IN, canonical, load_method
from dualpt.search_spaces.ablation import ABLATION_KEYS, load_ablation
from dualpt.search_spaces.documents.extending import read_extended
from dualpt.search_spaces.documents.resolving import resolved_document
from dualpt.search_spaces.shipped import shipped_ablation_or_path, shipped_ablations, shipped_folder, shipped_or_path
from dualpt.search_spaces.sweep import LoadedSweep, SweepFile
from dualpt.search_spaces.sweep_file import load_sweep, override
from dualpt.sweeps.stores import masked
from dualpt.sweeps.word_table import WordTable

HIDDEN = ("own",)
"""Fields that are no keys: a method's own options are listed by its name."""


def setting_rows(model: type[Section] = Setting, prefix: str = "") -> list[dict[str, str]]:
    """Every key of a setting: name, default, allowed values and meaning, all as text."""
    rows = []
    for name, info in model.model_fields.items():
        if name in HIDDEN:
            continue
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            rows += setting_rows(annotation, f"{prefix}{name}.")
            continue
        default = "required" if info.is_required() else str(info.get_default(call_default_factory=True))
        row = {"key": prefix + name, "default": default, "values": _values(annotation, info.metadata)}
        rows.append({**row, "meaning": " ".join((info.description or "").split())})
    return rows


def sweep_rows() -> list[dict[str, str]]:
    """The keys of a sweep file beside its setting: `grid.*`, `search.*` and `run.*`, as `setting_rows` gives keys."""
    rows = []
    for name, info in SweepFile.model_fields.items():
        for part in (info.annotation, *typing.get_args(info.annotation)):
            if isinstance(part, type) and issubclass(part, Section):
                rows += setting_rows(part, f"{name}.")
    return [{**row, "default": masked(row["default"])} for row in rows]


def loaded(file: str, overrides: Mapping[str, Any]) -> LoadedSweep:
    """A sweep file or an ablation file, by its path or its name among those that ship.

    Raises:
        UserError: neither; or any fault of the file or the overrides.
    """
    path = _shipped(file)
    if any(key in read_extended(path, _shipped, override) for key in ABLATION_KEYS):
        return load_ablation(path, overrides).sweep
    return load_sweep(path, overrides)


def _shipped(file: str) -> Path:
    """A path as given, or the shipped sweep or ablation of that name."""
    try:
        return shipped_or_path(file)
    except UserError as error:
        try:
            return shipped_ablation_or_path(file)
        except UserError:
            raise error from None


def resolved(sweep: LoadedSweep) -> dict[str, Any]:
    """Every key with its value, and no password."""
    document = resolved_document(sweep)
    run = {key: masked(value) if isinstance(value, str) else value for key, value in document["run"].items()}
    return {**document, "run": run}


def as_yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)


def shipped_file(name: str) -> Path:
    """The sweep or ablation file that ships under this name.

    Raises:
        UserError: there is none; the nearest is named.
    """
    known = {path.stem: path for folder in (shipped_ablations(), shipped_folder()) for path in folder.glob("*.yaml")}
    if name not in known:
        raise UserError(f"{name}: no file of this name ships{nearest(name, known)} (`dualpt spaces` lists them)")
    return known[name]


def show_rows(console: Console, title: str, rows: Sequence[Mapping[str, str]]) -> None:
    """Print keys with what they may be; a key is never cut, since it is what one types."""
    table = WordTable("key", "default (values) meaning", title=title, look=None)
    for row in rows:
        default, values, meaning = (escape(row[name]) for name in ("default", "values", "meaning"))
        table.add_row(escape(row["key"]), f"[bold]{default}[/] [dim]({values})[/] {meaning}")
    table.show(console)


def method_rows(spec: str) -> list[dict[str, str]]:
    """The options of a method on frozen features, by name or file, as `setting_rows` gives keys.

    Raises:
        UserError: no such method, or one without options of its own.
    """
    method = load_method(canonical(spec)) if spec not in BUILT_IN else None
    if method is None or not method.option_names:
        raise UserError(f"{spec}: has no options of its own; `dualpt settings` lists those of every setting")
    return setting_rows(method.definition.options, f"{method.name}.")


def _values(annotation: Any, metadata: list[Any]) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return _values(inner, [*metadata, *(bound for one in more for bound in _bounds(one))])
    if origin is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    if origin is list:
        return f"list of {_values(typing.get_args(annotation)[0], [])}"
    if origin is dict:
        return "mapping"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_values(part, metadata) for part in typing.get_args(annotation))
    if annotation is type(None):
        return "null"
    bounds = [
        f"{sign} {getattr(bound, name)}"
        for bound in metadata
        for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
        if hasattr(bound, name)
    ]
    return " ".join([annotation.__name__, ", ".join(bounds)]).strip()


def _bounds(one: Any) -> list[Any]:
    return list(one.metadata) if isinstance(one, FieldInfo) else [one]
