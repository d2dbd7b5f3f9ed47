"""YAML as researchers write it: `1e-3` is a number, `1:30` isn't, keys are words, and a key given twice is an error."""

import re
from pathlib import Path
from typing import Any, cast

import yaml

from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular

DEEPEST = 32
"""Levels of nesting beyond which a file is refused; also what ends one that contains itself."""
TOO_DEEP = f"nested more than {DEEPEST} levels deep, or contains itself; keep it to keys and their values"
MOST_VALUES = 100_000
"""Values of a file, aliases counted each time they are used."""

INT, FLOAT, ODD_NUMBER = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "!odd-number"


class Loader(yaml.SafeLoader):
    """PyYAML follows YAML 1.1, where `1e-3` is a string, `1:30` is 90, `010` is 8 and a repeated key silently wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if not isinstance(key, str):
                found = key_node.value if isinstance(key_node, yaml.ScalarNode) else f"a {key_node.id}"
                raise yaml.MarkedYAMLError(
                    problem=f"a key must be a word, found {found}", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key '{key}' is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _refuse_odd_number(_: Loader, node: yaml.ScalarNode) -> None:
    raise yaml.MarkedYAMLError(
        problem=f"'{node.value}' can be read as several numbers; write a plain decimal number, or quote it as text",
        problem_mark=node.start_mark,
    )


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {INT, FLOAT, "tag:yaml.org,2002:timestamp"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(INT, re.compile(r"^[-+]?(0|[1-9]\d*)$"), list("-+0123456789"))
Loader.add_implicit_resolver(
    FLOAT,
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|[1-9]\d*|0)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)
Loader.add_implicit_resolver(  # octal, `1_000`, hexadecimal, binary, and base 60 as in `1:30`
    ODD_NUMBER,
    re.compile(r"^[-+]?(0\d+|\d[\d_]*_[\d_.]*|0x[\da-fA-F_]+|0o[0-7_]+|0b[01_]+|\d+(:[0-5]?\d)+(\.\d*)?)$"),
    list("-+0123456789"),
)
Loader.add_constructor(ODD_NUMBER, _refuse_odd_number)


def load_yaml(text: str) -> Any:
    """What a YAML text says.

    Raises:
        yaml.YAMLError: it isn't YAML, or holds a NUL character.
        UserError: it is nested too deeply, or holds too much.
    """
    try:
        loaded = yaml.load(text, Loader=Loader)
    except RecursionError:
        raise UserError(TOO_DEEP) from None
    level, values = [loaded], 0
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        values += len(level)
        if not level:
            return loaded
        if any(isinstance(value, str) and "\0" in value for value in level):
            raise yaml.YAMLError("a text holds a NUL character")
        if values > MOST_VALUES:
            raise UserError(f"more than {MOST_VALUES:,} values")
    raise UserError(TOO_DEEP)


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[object, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that holds one mapping.

    Raises:
        UserError: the file is missing or not a regular one, is not YAML, or holds something other than a mapping.
    """
    check_regular(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        loaded = load_yaml(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: {error.problem}") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not a YAML text file ({str(error).splitlines()[0]})") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: expected a mapping of keys, found {type(loaded).__name__}")
    return loaded
