"""What a check of a cluster file found, and how it is worded. Loads nothing heavy."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["error", "warning"]
Document = Mapping[str, Any]

PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s:/@'\"]*:)(?!PASSWORD|\d+/)[^\s'\"]+@([\w.$()-]+)")
"""An address with a password, which its second group follows; a user may be missing (redis://:…@host)."""
SECRET_NAME = r"\w*(?:PASSWORD|PASSWD|SECRET|API_KEY|SECRET_KEY|ACCESS_KEY|TOKEN)"
ASSIGNMENT = re.compile(rf"\b({SECRET_NAME})=[\"']?(?![\"'$\s]|PASSWORD|EDIT_|\.\.\.)\S", re.IGNORECASE)
"""A secret given to a variable in a command, as itself: not by another variable or a command's output."""
SECRET_REMEDY = "anyone who reads the file or the process list has it: take it from a file of mode 600 or a secret"


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


def secrets_in(value: Any, where: str = "") -> Iterator[Finding]:
    """Secrets that stand in a document: in addresses, commands and environments, which process lists and logs show.

    Args:
        value: a document or a part of it.
        where: the part's place.
    """
    if isinstance(value, str):
        for match in PASSWORD.finditer(value):
            text = f"{match[1]}…@{match[2]} carries a password; leave it out and set PGPASSWORD or ~/.pgpass"
            yield error(where, text)
        for match in ASSIGNMENT.finditer(value):
            yield error(where, f"{match[1]} is written out; {SECRET_REMEDY}")
    elif isinstance(value, Mapping):
        named = {str(value.get("name")): value.get("value")} if "value" in value else value
        for name, secret in named.items():
            if (
                isinstance(secret, str)
                and re.fullmatch(SECRET_NAME, str(name), re.IGNORECASE)
                and secret
                and not secret.startswith("$")
            ):
                yield error(where, f"{name} is written out; {SECRET_REMEDY}")
        for key, part in value.items():
            yield from secrets_in(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from secrets_in(part, f"{where}[{number}]")


def commands_of(document: Document, *sections: str) -> list[tuple[str, str]]:
    """The shell commands of some sections, each with the place it stands at."""
    found = []
    for section in sections:
        listed = document.get(section) or []
        found += [(f"{section}[{i}]", str(command)) for i, command in enumerate(listed)]
    return found
