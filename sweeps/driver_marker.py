"""Which process started a Ray session: written into the session's folder, for `dualpt doctor --clean`.

Ray names a session after a process, but after that of `ray start`, which has always ended, as well as after a driver.
"""

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "dualpt-driver.json"


@dataclass(frozen=True)
class DriverMarker:
    """The driver that a session belongs to and ends with."""

    host: str
    pid: int
    started: int
    """Clock ticks from the boot to the process's start: tells it from a later process of the same id."""

    @property
    def is_gone(self) -> bool:
        """Whether the driver is known to have ended; never of a driver on another machine."""
        return self.host == socket.gethostname() and started_at(self.pid) != self.started


def mark(session: Path) -> None:
    """Write this process into a session's folder; without /proc no session is marked, and none will be removed."""
    started = started_at(os.getpid())
    if started is not None:
        marker = DriverMarker(socket.gethostname(), os.getpid(), started)
        (session / NAME).write_text(json.dumps(asdict(marker)), encoding="utf-8")


def read_marker(session: Path) -> DriverMarker | None:
    """The marker of a session's folder; None where there is none that can be read."""
    try:
        return DriverMarker(**json.loads((session / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks from the boot; None where it is gone or there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])  # field 22 (proc(5)); the name before may hold anything
