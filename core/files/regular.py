"""Anything but a regular file is refused before it is opened: a named pipe would block its reader forever."""

import errno
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
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""Beginning of the few lines that a clone without Git LFS leaves in place of a large file."""


def odd_kind(mode: int) -> str | None:
    """What to call something that cannot be read as a file; None for a regular file.

    Args:
        mode: its `st_mode`, links followed.
    """
    return KINDS.get(stat.S_IFMT(mode))


def check_regular(path: Path, remedy: str = "give a file") -> None:
    """Call this before opening a file that a user named.

    A missing or inaccessible file passes: opening it raises the error that its reader explains.

    Args:
        path: the file.
        remedy: what the user can do.

    Raises:
        UserError: the path leads to a folder, a named pipe, a socket, a device or itself.
    """
    try:
        kind = odd_kind(path.stat().st_mode)
    except ValueError:
        return
    except OSError as error:
        if error.errno != errno.ELOOP:
            return
        raise UserError(f"{path}: is a link that leads back to itself; {remedy}") from None
    if kind is not None:
        raise UserError(f"{path}: is {kind} and cannot be read as a file; {remedy}")


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
