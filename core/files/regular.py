"""Anything but a regular file is refused before it is opened: a named pipe would block its reader forever."""

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
"""Beginning of the few lines that a clone without Git LFS leaves in place of a large file."""


def check_regular(path: Path) -> None:
    """Call this before opening a file that a user named.

    A missing or inaccessible file passes: opening it raises the error that its reader explains.

    Raises:
        UserError: the path leads to a folder, a named pipe, a socket or a device.
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
