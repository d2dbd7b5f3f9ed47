"""Reads banks as other authors lay them out: entries of a name and its sentences, from JSON, JSON Lines, CSV and TSV.

What is unambiguous is accepted: a mapping by class name, records, a list of names beside one of sentences; what belongs
to a class is read by `texts`. What has no class names is refused, since its order cannot be checked.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from dualpt.core.descriptions.bank import is_bank, parse_bank
from dualpt.core.descriptions.importing.texts import one_text_field, text_fields, texts_of
from dualpt.core.descriptions.names import loose_name, normal_name
from dualpt.core.errors import UserError
from dualpt.core.files.json_reader import parse_json
from dualpt.core.files.regular import check_regular

NAME_FIELDS = ("class_name", "classname", "class name", "class", "category", "name", "wnid", "label")
"""Fields of a record that may hold the class, the first found counts."""
NAME_LISTS = {"class names", "classnames", "classes", "categories", "names", "wnids", "labels"}
"""Keys, beside `NAME_FIELDS`, of a list of all classes."""
WRAPPERS = {"descriptions", "classes", "data", "annotations"}
"""Keys that authors put around a complete bank."""

REMEDY = "correct it, or fetch the bank again"

Entries = dict[str, tuple[str, ...]]
"""Name as the author spells it -> sentences; an empty tuple where the author has none."""


def read_foreign(source: Path, dataset: Sequence[str], classes: Collection[str] = ()) -> Entries:
    """The entries of one dataset's bank.

    Args:
        source: a `.json`, `.jsonl`, `.csv` or `.tsv` file.
        dataset: what it may be called in a file that holds several datasets: its name, its folder.
        classes: its class names, which tell a bank by question, `{question: {class: [sentence]}}`, from one by class.

    Raises:
        UserError: the file cannot be read, is of another kind, or its layout is ambiguous.
    """
    text = _read(source)
    suffix = source.suffix.lower()
    if suffix in (".jsonl", ".ndjson") or (suffix == ".json" and _is_a_document_a_line(text)):
        lines = enumerate(text.split("\n"), start=1)
        rows = [parse_json(line, source, number, REMEDY) for number, line in lines if line.strip()]
        return _merged((entry for row in rows for entry in _entries_of_row(row, source)), source, joined=True)
    if suffix == ".json":
        content = _unwrapped(parse_json(text, source, remedy=REMEDY), dataset)
        if is_bank(content):
            own = parse_bank(content, source).classes
            return _merged(((part.wnid or part.name, part.sentences) for part in own), source)
        content = _by_class(_by_name(content, source), set(map(loose_name, classes)))
        return _merged(_entries(content, source), source, joined=isinstance(content, list))
    if suffix in (".csv", ".tsv"):
        return _merged(_entries_of_table(text, source), source, joined=True)
    raise UserError(f"{source}: banks are read from .json, .jsonl, .csv and .tsv files; convert it to one of them")


def _read(source: Path) -> str:
    check_regular(source, "name the bank's file")
    try:
        return source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{source}: no such bank") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from None


def _is_a_document_a_line(text: str) -> bool:
    """Whether the first of several lines is a complete JSON object, as it is in no other JSON document."""
    first, _, rest = text.strip().partition("\n")
    if not rest:
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _unwrapped(content: Any, dataset: Sequence[str]) -> Any:
    """The bank itself, out of a file of several datasets or of `{"model": "...", "descriptions": {...}}`."""
    if not isinstance(content, dict) or is_bank(content):
        return content
    called = set(map(loose_name, dataset))
    of_dataset = [value for key, value in content.items() if loose_name(key) in called and isinstance(value, dict)]
    if len(of_dataset) == 1:
        return of_dataset[0]
    nested = {normal_name(key): value for key, value in content.items() if isinstance(value, dict | list)}
    if len(nested) == 1 and set(nested) <= WRAPPERS:
        return next(iter(nested.values()))
    return content


def _by_name(content: Any, source: Path) -> Any:
    """A bank with a separate list of class names, or with records under numbers, turned into a list of records.

    `{"classes": [name, ...], "descriptions": ...}`, the sentences in a list of equal length, or by number from 0 or
    from 1, or by name; or columns of a table, `{"class": {"0": name}, "text": {"0": sentence}}`.

    Raises:
        UserError: names and sentences differ in number, a listed name occurs twice, or several fields hold sentences.
    """
    if not isinstance(content, dict):
        return content
    if content and _is_numbered(content):
        records = list(content.values())
        return records if all(isinstance(part, dict) and _name_field(part) for part in records) else content
    by_key = {key: _by_number(value) for key, value in content.items()}
    keys = [key for key in content if normal_name(key) in NAME_LISTS or key.casefold() in NAME_FIELDS]
    keys = [key for key in keys if by_key[key] and all(isinstance(name, str) for name in by_key[key].values())]
    fields = text_fields(key for key, value in content.items() if key not in keys and isinstance(value, list | dict))
    if keys and len(fields) > 1 and any(normal_name(key) in NAME_LISTS for key in keys):
        raise UserError(f"{source}: sentences stand in {' and '.join(map(repr, fields))}; leave one of them")
    if not keys or len(fields) != 1:
        return content
    names, texts = by_key[keys[0]], by_key[fields[0]]
    if isinstance(content[keys[0]], list) and (twice := [name for name, n in Counter(names.values()).items() if n > 1]):
        raise UserError(
            f"{source}: '{keys[0]}' names '{twice[0]}' more than once, so the classes cannot be told apart; make "
            "the names differ"
        )
    if not texts:
        return content[fields[0]]
    if isinstance(content[keys[0]], list) and texts.keys() == {number + 1 for number in names}:
        texts = {number - 1: value for number, value in texts.items()}
    if texts.keys() != names.keys():
        raise UserError(
            f"{source}: '{keys[0]}' names {len(names)} classes, and '{fields[0]}' has {len(texts)} entries that are "
            "not numbered alike; write {class name: [sentence, ...]}"
        )
    return [{"class": name, "text": texts[number]} for number, name in names.items()]


def _by_number(value: Any) -> dict[int, Any]:
    """A list, or a mapping by numbers; anything else is empty."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return {int(key): part for key, part in value.items()} if isinstance(value, dict) and _is_numbered(value) else {}


def _is_numbered(content: dict[str, Any]) -> bool:
    return all(key.isdecimal() for key in content)


def _name_field(record: dict[str, Any]) -> str | None:
    """The field that holds a record's class; one that holds a name goes before one that holds a number."""
    fields = {key.strip().casefold(): key for key in record}
    found = [fields[field] for field in NAME_FIELDS if field in fields]
    return next((field for field in found if isinstance(record[field], str)), found[0] if found else None)


def _by_class(content: Any, classes: Collection[str]) -> Any:
    """A bank by question turned into one by class, where its outer keys name no class and its inner ones do."""
    if not isinstance(content, dict) or not all(isinstance(part, dict) for part in content.values()):
        return content
    inner = dict.fromkeys(name for part in content.values() for name in part)
    if any(loose_name(key) in classes for key in content) or not any(loose_name(key) in classes for key in inner):
        return content
    return {name: [part[name] for part in content.values() if name in part] for name in inner}


def _entries(content: Any, source: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Entries of a JSON document: a mapping by name, a list of records, or a list of `[name, sentences]`."""
    if isinstance(content, dict):
        if content and _is_numbered(content):
            raise UserError(
                f"{source}: its keys are numbers, and whose labels they are cannot be checked; key it by class name, "
                'or put the names beside it: {"classes": [name, ...], "descriptions": {...}}'
            )
        for name, value in content.items():
            yield name, texts_of(value, name, source)
        return
    if not isinstance(content, list) or not content:
        raise UserError(f"{source}: expected {{class name: [sentence, ...]}} or a list of records, got {content!r:.60}")
    for row in content:
        if not isinstance(row, list):
            yield from _entries_of_row(row, source)
        elif len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], list):
            yield row[0], texts_of(row[1], row[0], source)
        else:
            raise UserError(
                f"{source}: a list without class names, whose order cannot be checked; write {{class name: [...]}}"
            )


def _entries_of_row(row: Any, source: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """A record with fields for class and text, or `{class name: sentences}`."""
    if not isinstance(row, dict):
        raise UserError(f"{source}: {row!r:.60} where a record of class and description belongs")
    name_field, texts = _name_field(row), one_text_field(row, "a record", source)
    if name_field is not None and texts:
        name = row[name_field]
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{source}: '{name_field}' is {name!r:.60} where a class name belongs")
        yield name, [text for field in texts for text in texts_of(row[field], name, source)]
        return
    if texts or name_field is not None or any(not isinstance(value, list | str | dict) for value in row.values()):
        raise UserError(
            f"{source}: the record {row!r:.60} has no field for the class and its text; call them 'class' and "
            "'description'"
        )
    for name, value in row.items():
        yield name, texts_of(value, name, source)


def _entries_of_table(text: str, source: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Rows of a CSV or TSV file with a header that names one column of classes and one of texts."""
    marks = "\t" if source.suffix.lower() == ".tsv" else ",;\t"
    delimiter = next((mark for mark in marks if mark in text.partition("\n")[0]), marks[0])
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = list(reader.fieldnames or ())
        named, texts = _name_field(dict.fromkeys(columns, "")), one_text_field(columns, "its header", source)
        if named is None or not texts:
            raise UserError(
                f"{source}: its header {', '.join(columns) or '(none)'} must have a column of classes and one of "
                "texts; call them 'class' and 'description'"
            )
        for row in reader:
            if None in row or not (row[named] or "").strip():
                raise UserError(f"{source}: line {reader.line_num}: no class, or more fields than the header has")
            yield row[named], [part for field in texts for part in texts_of(row[field], row[named], source)]
    except csv.Error as error:
        raise UserError(f"{source}: line {reader.line_num}: not a table ({error})") from None


def _merged(entries: Iterator[tuple[str, Sequence[str]]], source: Path, joined: bool = False) -> Entries:
    """Entries by name; rows of one class are joined where a layout has a row for each sentence."""
    merged: dict[str, list[str]] = {}
    for name, texts in entries:
        known = merged.setdefault(name.strip(), [])
        if known and not joined and known != list(texts):
            raise UserError(f"{source}: '{name:.60}' occurs twice with different sentences; keep one")
        if joined or not known:
            known += texts
    if not merged:
        raise UserError(f"{source}: holds no descriptions")
    return {name: tuple(texts) for name, texts in merged.items()}
