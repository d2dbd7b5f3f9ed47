"""What processes take and hold, as Linux tells it in /proc."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def processes() -> list[int]:
    """Every living process."""
    return list(_statuses())


def descendants(process: int) -> list[int]:
    """Every living process that descends from this one."""
    return _beneath(process, _statuses())


def cpu_of_descendants() -> dict[int, float]:
    """CPU seconds of every living process that descends from this one: workers, and what Ray runs beside them."""
    statuses = _statuses()
    times = {number: statuses[number][11:13] for number in _beneath(os.getpid(), statuses)}
    return {number: (int(user) + int(system)) / TICKS for number, (user, system) in times.items()}


def arguments_of(process: int) -> list[str]:
    """The command line of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _statuses() -> dict[int, list[str]]:
    """What follows the name in /proc/PID/stat, of every process."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            found[int(entry.parent.name)] = entry.read_text().rpartition(") ")[2].split()
    return found


def _beneath(process: int, statuses: Mapping[int, Sequence[str]]) -> list[int]:
    family = {process}
    while more := {number for number, status in statuses.items() if int(status[1]) in family} - family:
        family |= more
    return sorted(family - {process})


def peak_mib(process: int) -> float | None:
    """The most memory that a process has held; None where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


def resident_mib() -> float:
    """The memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
