"""What a check of a cluster file found, and how it is worded. Loads nothing heavy."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["error", "warning"]
Document = Mapping[str, Any]

PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s:/@'\"]+:)(?!PASSWORD)[^\s/@'\"]+@([\w.$()-]+)")
"""An address with a password, which its second group follows."""


@dataclass(frozen=True)
class Finding:
    """One fault of a cluster file."""

    level: Level
    where: str
    """The key, dotted."""
    text: str
    """What is wrong, and the remedy."""


def error(where: str, text: str) -> Finding:
    """A fault with which sweeps on the cluster would not run, or would mix versions."""
    return Finding("error", where, text)


def warning(where: str, text: str) -> Finding:
    """Something that works and costs time, money or comfort."""
    return Finding("warning", where, text)


def passwords_in(where: str, text: str) -> Iterator[Finding]:
    """Addresses that carry a password: it shows in process lists, logs and Ray's session folder."""
    for match in PASSWORD.finditer(text):
        yield error(where, f"{match[1]}…@{match[2]} carries a password; leave it out and set PGPASSWORD or ~/.pgpass")


def commands_of(document: Document, *sections: str) -> list[tuple[str, str]]:
    """The shell commands of some sections, each with the place it stands at."""
    found = []
    for section in sections:
        listed = document.get(section) or []
        found += [(f"{section}[{i}]", str(command)) for i, command in enumerate(listed)]
    return found
