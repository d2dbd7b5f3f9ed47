"""A split file: `{"train": [[path, label, class name], ...], "val": ..., "test": ...}`.

What the field's code takes is taken: other keys beside the three lists, labels as strings of digits or as 3.0, an image
listed twice. So is what can mean one thing only: Windows separators, `./` in front, and paths from the data root, or
from the root of some machine, where they run through the dataset's own image folder. Everything else is one line that
names the entry.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from dualpt.core.data.splits import PARTS, Item, Split, make_split
from dualpt.core.data.text_files import read_text
from dualpt.core.errors import UserError
from dualpt.core.files.inside import CONTROL, PLAIN, tidied, why_outside
from dualpt.core.files.json_reader import parse_json
from dualpt.core.files.many_objects import no_search_for_cycles

DIGITS = re.compile(r"\s*-?\d{1,9}\s*", re.ASCII)
ABSOLUTE = re.compile(r"/|~/|[A-Za-z]:/")
"""Starts of a path on some machine, separators already turned."""
DRAWN_KEY = "not_the_fields_split"
"""Beside the three lists of a split that was drawn here, in place of the field's: how it was drawn."""
LONGEST_NOTE = 200
NOT_THE_FIELDS = "not the field's split"
"""Said of such a split wherever it is used."""


def read_split_file(source: Path, what: str = "the split file", image_folder: str = "") -> Split:
    """Read and check a split file; the images themselves are not looked at.

    Args:
        source: the file.
        what: what a line about a missing file calls it.
        image_folder: the dataset's image root under the data root (`dtd/images`): paths that name it are cut after it.

    Raises:
        UserError: a missing file, one that is not JSON, or a malformed split; the line names file and fault.
    """
    return parse_split(read_text(source, what), source, image_folder)


@no_search_for_cycles()
def parse_split(text: str, source: Path, image_folder: str = "") -> Split:
    """Read and check the text of a split file, which errors call `source`.

    Raises:
        UserError: text that is not JSON, or a malformed split.
    """
    content = parse_json(text, source)
    if not isinstance(content, dict):
        raise UserError(f"{source}: expected an object with the lists 'train', 'val' and 'test'")
    if absent := [part for part in PARTS if part not in content]:
        raise UserError(f"{source}: holds no '{absent[0]}'; expected the lists 'train', 'val' and 'test'")
    items = {part: _items(content[part], part, source, image_folder) for part in PARTS}
    return make_split(items, source, note=_note(content))


def _note(content: dict[str, object]) -> str:
    if DRAWN_KEY not in content:
        return ""
    how = content[DRAWN_KEY]
    said = isinstance(how, str) and how.isprintable() and len(how) <= LONGEST_NOTE
    return f"{NOT_THE_FIELDS} ({how})" if said else NOT_THE_FIELDS


def _items(entries: object, part: str, source: Path, image_folder: str) -> list[Item]:
    """The checked entries of one part."""
    if not isinstance(entries, list):
        raise UserError(f"{source}: '{part}' must be a list of [path, label, class name]")
    if (plain := _plain_items(entries, image_folder)) is not None:
        return plain
    items = []
    for index, entry in enumerate(entries):
        try:
            items.append(_item(entry, image_folder))
        except ValueError as fault:
            raise UserError(f"{source}: '{part}' entry {index}: {fault}; expected [path, label, class name]") from None
    return items


def _plain_items(entries: list[Any], image_folder: str) -> list[Item] | None:
    """The items of entries that are all as they should be, told at once; None where each must be looked at."""
    if set(map(type, entries)) != {list} or set(map(len, entries)) != {3}:
        return None
    paths, labels, names = ([entry[place] for entry in entries] for place in range(3))
    if [set(map(type, column)) for column in (paths, labels, names)] != [{str}, {int}, {str}]:
        return None
    if not all(map(PLAIN.fullmatch, paths)) or (image_folder and f"\n{image_folder}/" in "\n" + "\n".join(paths)):
        return None
    if any(not name.strip() or CONTROL.search(name) for name in set(names)):
        return None
    return list(map(Item._make, entries))


def _item(entry: object, image_folder: str) -> Item:
    """An entry as an item; a ValueError says what is wrong with it."""
    if not isinstance(entry, list) or len(entry) != 3:
        raise ValueError(f"{entry!r:.80} is not a list of three")
    path, label, name = entry
    if not isinstance(name, str):
        raise ValueError(f"class name {name!r:.80} is not a name")
    _check_name(name)
    return Item(relative_path(path, image_folder), label if type(label) is int else _whole(label), name)


@lru_cache(maxsize=8192)
def _check_name(name: str) -> None:
    """Raise a ValueError that says what is wrong with a class name; each image has one."""
    if not name.strip():
        raise ValueError(f"class name {name!r:.80} is not a name")
    if CONTROL.search(name):
        raise ValueError(f"class name {name!r:.80} holds control characters")


def _whole(label: object) -> int:
    if isinstance(label, str) and DIGITS.fullmatch(label):
        return int(label)
    if isinstance(label, float) and label.is_integer():
        return int(label)
    if isinstance(label, bool) or not isinstance(label, int):
        raise ValueError(f"label {label!r:.80} is not a whole number")
    return label


def relative_path(path: object, image_folder: str) -> str:
    """The path under the image root, with forward slashes; a ValueError says what is wrong with it."""
    if isinstance(path, str) and PLAIN.fullmatch(path) and not (image_folder and path.startswith(f"{image_folder}/")):
        return path
    if not isinstance(path, str) or not path.strip() or CONTROL.search(path):
        raise ValueError(f"path {path!r:.80} is not a file name")
    plain = path.replace("\\", "/")
    absolute = ABSOLUTE.match(plain)
    if image_folder and (absolute or plain.startswith(("./", f"{image_folder}/"))):
        _, cut, behind = f"/{plain}".partition(f"/{image_folder}/")
        plain, absolute = (behind, None) if cut else (plain, absolute)
    if absolute:
        raise ValueError(f"path '{path:.80}' is absolute; cut it to the part under the image folder")
    inner = tidied(plain.lstrip("/"))
    if (reason := why_outside(inner)) is not None:
        raise ValueError(f"path '{path:.80}' {reason}")
    return inner
