"""The cache folder: where derived files are kept, and how a file is written in one step.

Everything in it can be deleted; it is computed again.
"""

import errno
import os
import secrets
from pathlib import Path

from dualpt.core.errors import UserError

CACHE_REMEDY = "make room, or set DUALPT_CACHE to another folder"


def cache_root() -> Path:
    """The folder of the feature store and of file hashes: `$DUALPT_CACHE`, or `~/.cache/dualpt`."""
    return Path(os.environ.get("DUALPT_CACHE") or "~/.cache/dualpt").expanduser()


def write_atomically(path: Path, text: str, remedy: str = CACHE_REMEDY) -> None:
    """Write the complete file or nothing: readers never see half of it, even if the process is killed.

    Args:
        path: the file; missing folders are made.
        text: its content.
        remedy: what the user can do where the folder cannot be written.

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".tmp-{secrets.token_hex(8)}"
        # Not tempfile, whose files only their owner can read: a store or a bank is shared.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise unwritable(path.parent, error, remedy) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path.parent, error, remedy) from None
        raise


def unwritable(folder: Path, error: OSError, remedy: str = CACHE_REMEDY) -> UserError:
    """The one line for a folder that cannot be written."""
    reason = "the disk is full" if error.errno == errno.ENOSPC else f"cannot be written ({error.strerror})"
    return UserError(f"{folder}: {reason}; {remedy}")
