"""The list of settings, made from the configuration itself."""

import types
import typing
from typing import Any

from dualpt.core.config import Section, Setting
from dualpt.core.errors import UserError
from dualpt.core.method_catalog import BUILT_IN, canonical, load_method

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
        row = {"key": prefix + name, "default": str(info.default), "values": _values(annotation, info.metadata)}
        rows.append({**row, "meaning": " ".join((info.description or "").split())})
    return rows


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
    if origin is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
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
