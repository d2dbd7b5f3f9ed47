"""What is not a regular file is refused before it is opened: a named pipe would keep its reader waiting for ever."""

import stat
from pathlib import Path

from dualpt.core.errors import UserError

OTHER_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How the few lines begin that a clone without Git LFS leaves in place of a large file."""


def check_regular(path: Path) -> None:
    """Call before opening a file that somebody named.

    What cannot be looked at, a missing file above all, passes: opening it raises the error that its reader explains.

    Raises:
        UserError: a folder, a named pipe, a socket or a device lies there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return
    for is_kind, kind in OTHER_KINDS:
        if is_kind(mode):
            raise UserError(f"{path}: {kind}, not a regular file; give the path of a file")


def check_fetched(path: Path) -> None:
    """Refuse a file that is empty or only points to its content.

    Raises:
        UserError: it is empty, or a Git LFS pointer; OSError: it cannot be read.
    """
    with path.open("rb") as file:
        beginning = file.read(len(LFS_POINTER))
    if not beginning:
        raise UserError(f"{path}: the file is empty; fetch it again")
    if beginning == LFS_POINTER:
        raise UserError(f"{path}: a Git LFS pointer, not the file itself; run `git lfs pull` in its repository")
