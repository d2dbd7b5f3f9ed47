"""Overrides on the command line: `key=value` words, values by the rules of the YAML files."""

from typing import Any

import yaml

from dualpt.core.errors import UserError
from dualpt.core.files.yaml_reader import Loader


def parse_value(text: str) -> Any:
    """The value of a command-line override, by YAML's rules: `3`, `1e-3`, `true`, `[a, b]`, `name`."""
    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError):
        return text


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Split `key=value` words.

    Raises:
        UserError: a word without `=`.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UserError(f"override '{pair}' is not of the form key=value")
        values[key] = parse_value(text)
    return values
