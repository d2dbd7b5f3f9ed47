"""Text files of a data root, or one line that says what is missing."""

from pathlib import Path

from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular


def read_text(source: Path, what: str) -> str:
    """The content of a UTF-8 file, with or without a byte-order mark.

    Raises:
        UserError: the file is missing or not text; `what` says what it is.
    """
    check_regular(source, f"put {what} there")
    try:
        return source.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{source}: {what} is missing; put it there (CoOp's DATASETS.md says where to get it)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read ({error}); fetch the file again") from None


def read_lines(source: Path, what: str) -> list[str]:
    """The lines of a text file, stripped, without empty ones at the end.

    Raises:
        UserError: see `read_text`.
    """
    return [line.strip() for line in read_text(source, what).rstrip().splitlines()]
