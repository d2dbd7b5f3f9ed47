"""Text files of a data root, or one line that says what is missing."""

import os
import stat
from pathlib import Path

from dualpt.core.errors import UserError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def odd_kind(mode: int) -> str | None:
    """What a file is called that cannot be read as one (reading a pipe would wait forever), or None.

    Args:
        mode: `st_mode` of the file, links followed.
    """
    return KINDS.get(stat.S_IFMT(mode))


def check_regular(path: Path, remedy: str = "give a file") -> None:
    """Refuse what is there and is not a regular file; a missing file is left to whoever opens it.

    Raises:
        UserError: a folder, a named pipe, a socket or a device.
    """
    try:
        kind = odd_kind(os.stat(path).st_mode)
    except (OSError, ValueError):  # reading says what is wrong
        return
    if kind is not None:
        raise UserError(f"{path}: is {kind} and cannot be read as a file; {remedy}")


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
