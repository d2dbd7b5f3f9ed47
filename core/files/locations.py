"""The cache folder: where derived files lie, and how they get there complete or not at all.

Everything in it can be deleted and is computed again. A command that only looks (a dry run) says so by
`leaving_no_trace`; what it derives is kept in memory or in a temporary folder until it ends.
"""

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dualpt.core.errors import StorageError

TEMPORARY_PREFIX = ".tmp-"
"""Of files that are being written."""
CACHE_REMEDY = "make room, or set DUALPT_CACHE to another folder"


def cache_root() -> Path:
    """The folder of the feature store and of file hashes: `$DUALPT_CACHE`, or `~/.cache/dualpt`."""
    return Path(os.environ.get("DUALPT_CACHE") or "~/.cache/dualpt").expanduser()


_temporary: Path | None = None
"""The folder in place of the cache while no trace may be left."""


@contextmanager
def leaving_no_trace() -> Iterator[None]:
    """Within, nothing is added to the cache: `remember` forgets, and large things go to `temporary_root`."""
    global _temporary
    if _temporary is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="dualpt-") as folder:
        _temporary = Path(folder)
        try:
            yield
        finally:
            _temporary = None


def temporary_root() -> Path | None:
    """Where to put what can't be kept in memory while no trace may be left; None where the cache may be written."""
    return _temporary


def remember(path: Path, text: str) -> None:
    """Keep what spares work later and isn't needed: not while no trace may be left, nor where the disk refuses."""
    if _temporary is None:
        with suppress(StorageError):
            write_atomically(path, text)


def write_atomically(path: Path, content: str | bytes, remedy: str = CACHE_REMEDY) -> None:
    """Write a complete file or nothing: readers never see half of it, whatever is killed when.

    Args:
        path: the file; folders on the way are made.
        content: text, written as UTF-8, or bytes.
        remedy: what the user can do where the folder can't be written.

    Raises:
        StorageError: the folder can't be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        # Not tempfile's, whose files are their owner's alone: a store or a bank is shared by many.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise unwritable(path.parent, error, remedy) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path.parent, error, remedy) from None
        raise


@contextmanager
def holding(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Hold a lock of the operating system's, which a killed process leaves to the next; its folder is made.

    Args:
        lock: a file that nothing else uses.
        timeout: seconds to wait for another process; for ever where it is negative.

    Raises:
        filelock.Timeout: another process holds it.
        StorageError: the folder can't be written.
    """
    own = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        own.acquire(timeout=timeout)
    except Timeout:
        raise
    except OSError as error:
        raise unwritable(lock.parent, error) from None
    try:
        yield
    finally:
        own.release()


def unwritable(folder: Path, error: OSError, remedy: str = CACHE_REMEDY) -> StorageError:
    """The one line for a folder that can't be written."""
    reason = "the disk is full" if error.errno == errno.ENOSPC else f"cannot be written ({error.strerror})"
    return StorageError(f"{folder}: {reason}; {remedy}")
