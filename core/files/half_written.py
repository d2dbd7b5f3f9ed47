"""Files that are being written, `.NAME.HOST-PID.part` beside their place: whose each is, and if its writer is gone.

Two processes never share one, on one machine or several. A killed writer leaves its own behind, which nobody reads.
"""

import os
import re
import socket
from pathlib import Path

SUFFIX = ".part"
WRITER = re.compile(r"-(\d{1,9})\.part")


def part_of(path: Path) -> Path:
    """Where this process writes a file that it moves to `path` when it is whole."""
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{SUFFIX}")


def is_half_written(name: str) -> bool:
    """Whether a file of this name is being written, or was; earlier versions named no process (`.NAME.part`)."""
    return name.startswith(".") and name.endswith(SUFFIX)


def writer_is_gone(path: Path) -> bool:
    """Whether a half-written file's process is known to have ended; never of one on another machine."""
    _, ours, writer = path.name.rpartition(f".{socket.gethostname()}")  # names of files and hosts hold dots and dashes
    match = WRITER.fullmatch(writer)
    if not ours or match is None:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        return False
    return False
