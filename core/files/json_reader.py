"""JSON as other people wrote it: complete and unambiguous, or one line that names the file and the place."""

import json
import re
from pathlib import Path
from typing import Any

from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular

ESCAPED_HALF = re.compile(r"\\u[dD][89abAB]")
"""Start of an escape that stands for half a character, unless the other half follows."""


def read_json(path: Path, remedy: str = "fetch the file again") -> Any:
    """The content of a UTF-8 file, with or without a byte-order mark, that holds one JSON document.

    Raises:
        UserError: as `parse_json`, or the file is missing, not a regular one, or not text.
    """
    check_regular(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a JSON file (byte {error.start} is not UTF-8); {remedy}") from None
    return parse_json(text, path, remedy=remedy)


def parse_json(text: str, source: Path, line: int | None = None, remedy: str = "fetch the file again") -> Any:
    """The content of a JSON document.

    Args:
        text: the document.
        source: the file that errors name.
        line: the place of the document in a file with one document per line.
        remedy: what to do about a file that is not JSON.

    Raises:
        UserError: not JSON, a key that has two values (the standard reader silently keeps the last), or a string that
            holds half a character, which no file can take.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, value in pairs:
            if key in members and members[key] != value:
                raise UserError(f"{source}: '{key:.60}' is given twice with different content; keep one")
            members[key] = value
        return members

    try:
        content = json.loads(text, object_pairs_hook=distinct)
        if ESCAPED_HALF.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = line if line is not None else error.lineno
        raise UserError(f"{source}: line {place}, column {error.colno}: not JSON ({error.msg}); {remedy}") from None
    except RecursionError:
        raise UserError(f"{source}: nested too deeply; {remedy}") from None
    except UnicodeEncodeError:
        raise UserError(f"{source}: holds half a character (a lone \\ud8… escape); {remedy}") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise UserError(f"{source}: not JSON ({error}); {remedy}") from None
    return content
