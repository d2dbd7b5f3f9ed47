"""Files that are being written, `.NAME.HOST-PID.part` beside their place: whose each is, and if its writer is gone.

Two processes never share one, on one machine or several. A killed writer leaves its own behind, which nobody reads.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".part"
WRITER = re.compile(r"-(\d{1,9})\.part")


def part_of(path: Path) -> Path:
    """Where this process writes a file that it moves to `path` when it is whole."""
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{SUFFIX}")


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` when the block ends; after an error nothing is left of it."""
    part = part_of(path)
    try:
        yield part
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it was moved; or a file stands where a folder was named
            part.unlink()


def is_half_written(name: str) -> bool:
    """Whether a file of this name is being written, or was; earlier versions named no process (`.NAME.part`)."""
    return name.startswith(".") and name.endswith(SUFFIX)


def writer_is_gone(path: Path) -> bool:
    """Whether a half-written file's process is known to have ended; never of one on another machine."""
    _, ours, writer = path.name.rpartition(f".{socket.gethostname()}")  # names of files and hosts hold dots and dashes
    match = WRITER.fullmatch(writer)
    return bool(ours) and match is not None and not is_running(int(match[1]))


def is_running(process: int) -> bool:
    """Whether this machine has a process of this id, whoever's it is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
