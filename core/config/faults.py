"""What is given as nested mappings, by dotted key, and what pydantic finds wrong with it, in one line."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from dualpt.core.errors import UserError


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one mapping of dotted keys.

    Raises:
        UserError: a key is given both nested and dotted.
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        inner = flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
        if twice := inner.keys() & flat.keys():
            raise UserError(f"{min(twice)} is given twice, nested and dotted; keep one of them")
        flat |= inner
    return flat


def one_line(error: ValidationError, prefix: str = "") -> str:
    """All faults of a pydantic validation in one line, each with its dotted key behind `prefix` and the value given."""
    faults = []
    for fault in error.errors():
        key = prefix + ".".join(str(part) for part in fault["loc"]) or "file"
        given = "" if fault["type"] == "missing" else f" (given: {fault['input']!r})"
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{key}: {message[0].lower()}{message[1:]}{given}")
    return "; ".join(faults)
