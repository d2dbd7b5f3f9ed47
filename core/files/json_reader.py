"""JSON as other people wrote it: whole and unambiguous, or one line that names the file and the place."""

import json
import re
from pathlib import Path
from typing import Any

from dualpt.core.errors import UserError

ESCAPED_HALF = re.compile(r"\\u[dD][89abAB]")
"""Start of an escape that stands for half a character, and is none where the other half follows."""


def parse_json(text: str, source: Path, line: int | None = None, remedy: str = "fetch the file again") -> Any:
    """The content of a JSON document.

    Args:
        text: the document.
        source: the file that errors name.
        line: the place of the document in a file of one document a line.
        remedy: what to do about a file that is no JSON.

    Raises:
        UserError: no JSON, a key that has two values (the standard reader keeps the last and says nothing), or a
            string that holds half a character, which can be written nowhere.
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
