"""Reads banks as other authors lay them out: entries of a name and its sentences, from JSON, JSON Lines, CSV and TSV.

What is unambiguous is accepted: sentences in a list, alone, in nested lists, grouped by question, or as records. What
has no class names is refused, since its order cannot be checked.
"""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.describing.bank import is_bank, parse_bank
from core.describing.names import loose_name, normal_name
from core.errors import UserError
from core.json_reader import parse_json

NAME_FIELDS = ("class_name", "classname", "class name", "class", "category", "name", "wnid", "label")
"""Fields of a record that may hold the class, the first found counts."""
TEXT_FIELDS = (
    "descriptions",
    "description",
    "sentences",
    "sentence",
    "captions",
    "caption",
    "texts",
    "text",
    "prompts",
    "prompt",
)
"""Fields of a record that may hold sentences."""
WRAPPERS = {"descriptions", "classes", "data", "annotations"}
"""Keys that authors put around the whole bank."""

REMEDY = "mend it, or fetch the bank again"

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
    if suffix == ".json":
        content = _unwrapped(parse_json(text, source, remedy=REMEDY), dataset)
        if is_bank(content):
            own = parse_bank(content, source).classes
            return _merged(((part.wnid or part.name, part.sentences) for part in own), source)
        content = _by_class(content, set(map(loose_name, classes)))
        return _merged(_entries(content, source), source, joined=isinstance(content, list))
    if suffix in (".jsonl", ".ndjson"):
        lines = enumerate(text.split("\n"), start=1)
        rows = [parse_json(line, source, number, REMEDY) for number, line in lines if line.strip()]
        return _merged((entry for row in rows for entry in _entries_of_row(row, source)), source, joined=True)
    if suffix in (".csv", ".tsv"):
        return _merged(_entries_of_table(text, source), source, joined=True)
    raise UserError(f"{source}: banks are read from .json, .jsonl, .csv and .tsv files; convert it to one of them")


def _read(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{source}: no such bank") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from None


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
        if content and all(key.isdigit() for key in content):
            raise UserError(
                f"{source}: its keys are numbers, and whose labels they are cannot be checked; key it by class name"
            )
        for name, value in content.items():
            yield name, _texts(value, name, source)
        return
    if not isinstance(content, list) or not content:
        raise UserError(f"{source}: expected {{class name: [sentence, ...]}} or a list of records, got {content!r:.60}")
    for row in content:
        if not isinstance(row, list):
            yield from _entries_of_row(row, source)
        elif len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], list):
            yield row[0], _texts(row[1], row[0], source)
        else:
            raise UserError(
                f"{source}: a list without class names, whose order cannot be checked; write {{class name: [...]}}"
            )


def _entries_of_row(row: Any, source: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """A record with fields for class and text, or `{class name: sentences}`."""
    if not isinstance(row, dict):
        raise UserError(f"{source}: {row!r:.60} where a record of class and description belongs")
    fields = {key.casefold(): value for key, value in row.items()}
    texts = [field for field in TEXT_FIELDS if field in fields]
    names = [field for field in NAME_FIELDS if field in fields]
    if texts and names:
        name = fields[names[0]]
        if len(texts) > 1:
            raise UserError(f"{source}: a record has both '{texts[0]}' and '{texts[1]}'; keep one")
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{source}: '{names[0]}' is {name!r:.60} where a class name belongs")
        yield name, _texts(fields[texts[0]], name, source)
        return
    if texts or names or any(not isinstance(value, list | str) for value in row.values()):
        raise UserError(
            f"{source}: the record {row!r:.60} has no field for the class and its text; call them 'class' and "
            "'description'"
        )
    for name, value in row.items():
        yield name, _texts(value, name, source)


def _entries_of_table(text: str, source: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Rows of a CSV or TSV file with a header that names one column of classes and one of texts."""
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if source.suffix.lower() == ".tsv" else ",")
    try:
        columns = {(column or "").strip().casefold(): column for column in reader.fieldnames or ()}
        names = [columns[field] for field in NAME_FIELDS if field in columns]
        texts = [columns[field] for field in TEXT_FIELDS if field in columns]
        if not names or len(texts) != 1:
            raise UserError(
                f"{source}: its header {', '.join(columns) or '(none)'} must have a column of classes and one of "
                "texts; call them 'class' and 'description'"
            )
        for row in reader:
            if None in row or not (row[names[0]] or "").strip():
                raise UserError(f"{source}: line {reader.line_num}: no class, or more fields than the header has")
            yield row[names[0]], _texts(row[texts[0]], row[names[0]], source)
    except csv.Error as error:
        raise UserError(f"{source}: line {reader.line_num}: not a table ({error})") from None


def _texts(value: Any, name: str, source: Path) -> list[str]:
    """Sentences out of a string, a list, nested lists, groups by question, or records; blanks are none."""
    if value is None:
        return []
    if isinstance(value, str):
        return [" ".join(value.split())] if value.strip() else []
    if isinstance(value, list):
        return [text for part in value for text in _texts(part, name, source)]
    if isinstance(value, dict):
        fields = [key for key in value if key.casefold() in TEXT_FIELDS]
        if len(fields) > 1:
            raise UserError(f"{source}: '{name:.60}' has both '{fields[0]}' and '{fields[1]}'; keep one")
        # A record has its text in one field and remarks in others; a group by question has texts in all of them.
        parts = [value[fields[0]]] if fields else list(value.values())
        return [text for part in parts for text in _texts(part, name, source)]
    raise UserError(f"{source}: '{name:.60}' has {value!r:.60} where a sentence belongs")


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
