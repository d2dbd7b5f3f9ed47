"""Overrides on the command line: `key=value` words, values by the rules of the YAML files."""

from typing import Any

import yaml

from dualpt.core.errors import UserError
from dualpt.core.files.yaml_reader import load_yaml

NULLS = ("null", "Null", "NULL", "~")
"""How YAML writes a value that is not set."""


def parse_value(text: str) -> Any:
    """The value of a command-line override, by YAML's rules: `3`, `1e-3`, `true`, `[a, b]`, `name`.

    Raises:
        UserError: a number that can be read in several ways, such as `010`.
    """
    try:
        return load_yaml(text)
    except yaml.MarkedYAMLError as error:
        if error.context is None and error.problem and "several numbers" in error.problem:
            raise UserError(error.problem) from None
        return text
    except (yaml.YAMLError, ValueError):
        return text


def recorded_override(key: str, recorded: str) -> str:
    """`key=value` for a value as records have it, where `None` is one that is not set."""
    return f"{key}={'null' if recorded == 'None' else recorded}"


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Split `key=value` words.

    Raises:
        UserError: a word without `=` or a value, a key given twice, or a number that can be read in several ways.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UserError(f"override '{pair}' is not of the form key=value")
        if not text.strip():
            raise UserError(f"override '{pair}' has no value; write {key}=null for the default, or leave it out")
        if key in values:
            raise UserError(f"{key} is given twice on the command line; keep one of them")
        try:
            values[key] = parse_value(text)
        except UserError as error:
            raise UserError(f"{key}: {error}") from None
        if values[key] is None and text.strip() not in NULLS:  # a comment or an anchor alone
            raise UserError(f"override '{pair}' has no value; write {key}=null for the default, or leave it out")
    return values
