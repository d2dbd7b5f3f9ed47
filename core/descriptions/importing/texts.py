"""Sentences of one class, out of what other authors write for it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dualpt.core.errors import UserError

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
"""Fields of a record that may hold sentences; numbered ones (`description_1`, `description_2`) belong together."""
_NUMBERED = re.compile(rf"({'|'.join(TEXT_FIELDS)})[ _-]?\d+")
_BULLET = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")


def text_fields(fields: Iterable[str]) -> list[str]:
    """Those of a record's fields that hold sentences, in order, whatever their case.

    Numbered fields count where no other does; more than one field may be left only then.
    """
    named = {field: field.strip().casefold() for field in fields}
    exact = [field for field, name in named.items() if name in TEXT_FIELDS]
    return exact or [field for field, name in named.items() if _NUMBERED.fullmatch(name)]


def one_text_field(fields: Iterable[str], whose: str, source: Path) -> list[str]:
    """As `text_fields`.

    Args:
        whose: for the message: the class, or the record.

    Raises:
        UserError: several fields could be meant.
    """
    found = text_fields(fields)
    if len({_NUMBERED.sub(r"\1", field.strip().casefold()) for field in found}) > 1:
        raise UserError(f"{source}: {whose} has both '{found[0]}' and '{found[1]}'; keep one")
    return found


def texts_of(value: Any, name: str, source: Path) -> list[str]:
    """Sentences out of a string, a list, nested lists, groups by question, records, or a mapping to scores.

    Blanks are not sentences. A string whose lines are all list items has one sentence per line. Scores are dropped.

    Args:
        name: of the class, for messages.

    Raises:
        UserError: something else.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return _lines(value)
    if isinstance(value, list):
        parts = [part[0] if _is_scored(part) else part for part in value]
        return [text for part in parts for text in texts_of(part, name, source)]
    if isinstance(value, dict):
        if value and all(map(is_number, value.values())):
            return _scored(value, name, source)
        fields = one_text_field(value, f"'{name:.60}'", source)
        # A record has its text in some fields and remarks in others; a group by question has texts in all of them.
        parts = [value[field] for field in fields] if fields else list(value.values())
        return [text for part in parts for text in texts_of(part, name, source)]
    raise UserError(
        f"{source}: '{name:.60}' has {value!r:.60} where a sentence belongs; write {{class name: [sentence, ...]}}"
    )


def is_number(value: Any) -> bool:
    """Whether a value is a number, written as one or as text: a score, and no sentence."""
    if isinstance(value, str):
        return re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", value, re.IGNORECASE) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scored(part: Any) -> bool:
    """Whether it is `[sentence, score]`."""
    return isinstance(part, list) and len(part) == 2 and isinstance(part[0], str) and is_number(part[1])


def _scored(scores: dict[str, Any], name: str, source: Path) -> list[str]:
    """Sentences of `{sentence: score}`. A key of one word may as well be what the number is: `{"id": 3, "score": 0.5}`.

    Raises:
        UserError: a key that may not be a sentence.
    """
    for text in scores:
        if len(text.split()) < 2:
            raise UserError(
                f"{source}: '{name:.60}' has a number for '{text:.60}', which may be a sentence's score or a remark; "
                "write {class name: [sentence, ...]}"
            )
    return [" ".join(text.split()) for text in scores]


def _lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(map(_BULLET.match, lines)):
        return [" ".join(_BULLET.sub("", line, count=1).split()) for line in lines]
    return [" ".join(text.split())] if lines else []
