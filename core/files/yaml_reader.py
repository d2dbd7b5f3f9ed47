"""YAML as researchers write it: `1e-3` is a number, a key is a word, and a key given twice is an error."""

import re
from pathlib import Path
from typing import Any

import yaml

from dualpt.core.errors import UserError


class Loader(yaml.SafeLoader):
    """PyYAML follows YAML 1.1, where `1e-3` is a string and a repeated key silently wins."""

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


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that holds one mapping.

    Raises:
        UserError: the file is missing, is not YAML, or holds something else than a mapping.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{place}: {error.problem}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply; keep it to keys and their values") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not a YAML text file ({str(error).splitlines()[0]})") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: expected a mapping of keys, found {type(loaded).__name__}")
    return loaded
