"""A draft of `describe import --map`: which entry of a bank stands for which class, to be completed by hand."""

import json
from collections import Counter
from pathlib import Path

from dualpt.core.descriptions.importing.matching import Import
from dualpt.core.errors import UserError
from dualpt.core.files.locations import write_atomically
from dualpt.sweeps.outputs import check_file

SAYS = {"words": "same words", "plural": "but for a plural", "spelling": "near spelling: is it this class?"}


def check_draft(path: Path, overwrite: bool) -> None:
    """Refuse to replace a draft that may have been edited, and a name that would be read as JSON.

    Raises:
        UserError: in one line.
    """
    if path.suffix.lower() == ".json":
        raise UserError(f"--draft: {path}: drafts are YAML, with remarks; give a name that ends in .yaml")
    check_file(path, "--draft")
    if path.exists() and not overwrite:
        raise UserError(f"--draft: {path} exists; give another name, or --overwrite")


def write_draft(path: Path, match: Import) -> None:
    """Write a map of the classes whose entry differs from their name or is missing; suggestions are filled in.

    Names in quotation marks, since a class may be called 737 or `no`.

    Raises:
        UserError: the file cannot be written.
    """
    names = Counter(item.name for item in match.classes)
    suggested = match.suggestions()

    def line(label: int, entry: str | None, remark: str = "") -> str:
        item = match.classes[label]
        key = item.wnid if item.wnid and names[item.name] > 1 else item.name
        return f"{_quoted(key)}: {_quoted(entry) if entry is not None else ''}".rstrip() + (remark and f"  # {remark}")

    lines = [
        f"# Classes of {match.dataset}: the entry of the bank that describes each.",
        f"# Complete it and give it back: dualpt describe import … --map {path}",
        "",
        *(line(label, entry) for label, entry in match.respelled.items()),
    ]
    for label in match.unmatched:
        found = suggested.get(label)
        lines.append(line(label, found and found.name, SAYS[found.likeness] if found else "no suggestion"))
    left = [name for name in match.unused if name not in {found.name for found in suggested.values()}]
    if left:
        lines += ["", "# Entries that no class takes:", *(f"#   {_quoted(name)}" for name in left)]
    write_atomically(path, "\n".join(lines) + "\n", "give another --draft")


def _quoted(text: str) -> str:
    """A JSON string, which YAML reads as the same text."""
    return json.dumps(text, ensure_ascii=False)
