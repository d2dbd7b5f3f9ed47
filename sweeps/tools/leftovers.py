"""`dualpt doctor --clean`: what killed processes left on this machine, listed and, if asked, removed.

Only what is known to be ours: our temporary folders and half-written files, checkpoints, locks of empty outboxes, and
the Ray sessions of drivers that have ended. Results in an outbox are never touched.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from dualpt.core.files.half_written import SUFFIX, writer_is_gone
from dualpt.core.files.locations import TEMPORARY_PREFIX, cache_root
from dualpt.sweeps.console import readable_seconds
from dualpt.sweeps.driver_marker import read_marker, started_at
from dualpt.sweeps.ledger.outbox import ARTIFACTS, LOCK
from dualpt.sweeps.stores import ARTIFACTS_FOLDER, sqlite_path
from dualpt.sweeps.word_table import WordTable

DAY = 24 * 3600.0
"""Files are left alone until they have not changed for so long."""
TEMPORARY_FOLDER = re.compile(r"dualpt-(tune-|job-)?[a-z0-9_]{8}")
CHECKPOINTS = ("*.safetensors", "*.division*")
"""Of packs, and of their trainings within a divided support set (`dualpt.core.running.within_support`)."""
RAY_PROCESS = re.compile(r"/ray/(core/src/ray|_private|autoscaler/_private|dashboard)/\S*")
"""In the command lines of Ray's own processes; a pager on a session's log is somebody's."""
IDLE_RAY_WORKER = "ray::IDLE"
END_SECONDS = 5.0
"""How long processes may take to end before they are killed."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing needs any longer."""

    what: str
    path: Path
    bytes: int
    changed: float
    """When anything in it last changed, in seconds since the epoch."""
    processes: tuple[int, ...] = ()
    """Ids of processes that outlived their driver and end with it."""


@dataclass(frozen=True)
class Found:
    """What lies on this machine."""

    leftovers: list[Leftover]
    running: list[int]
    """Processes of dualpt that may still use files: then only Ray sessions are listed."""
    unknown_sessions: list[Path]
    """Ray sessions without processes that somebody else may have started."""


def clean(console: Console, *, store: str, remove: bool) -> int:
    """List what is left over, and remove it if asked; 0, or 2 where something could not be removed.

    Args:
        store: tracking store; half-written artifacts beside an SQLite file are looked for.
        remove: whether what is found is removed.
    """
    found = find_leftovers(store)
    if found.leftovers:
        _table(found.leftovers).show(console)
    else:
        console.print("nothing is left over", highlight=False)
    total = sum(leftover.bytes for leftover in found.leftovers)
    refused = _remove_all(found.leftovers) if remove else {}
    if found.leftovers:
        done = f"{_mib(total)} removed" if remove else f"{_mib(total)} to remove: dualpt doctor --clean --yes"
        console.print(f"  {done}" if not refused else f"  {len(refused)} could not be removed", highlight=False)
    for path, reason in refused.items():
        console.print(f"  [red]fault[/] {escape(str(path))}: {escape(reason)}", highlight=False, soft_wrap=True)
    if found.running:
        pids = ", ".join(map(str, found.running))
        line = f"  dualpt is running (process {pids}): temporary folders, checkpoints and locks are left alone"
        console.print(line, highlight=False, soft_wrap=True)
    if found.unknown_sessions:
        command = shlex.join(["rm", "-r", *map(str, found.unknown_sessions)])
        console.print(
            f"  {len(found.unknown_sessions)} more Ray sessions have no process, but may be another program's; if you "
            "need none of them:",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)
    return 2 if refused else 0


def find_leftovers(store: str) -> Found:
    """Look; removes nothing. `store` as in `clean`."""
    processes = dict(_processes())
    running = [pid for pid, command in processes.items() if _is_sweep(command) and pid not in _own_line()]
    ours, unknown = _ray_sessions(processes)
    files = [] if running else [*_temporary_folders(), *_of_the_cache()]
    parts = [part for place in _places(store) for part in _half_written(place, running=bool(running))]
    return Found([*ours, *files, *parts], running, unknown)


def _table(leftovers: list[Leftover]) -> WordTable:
    table = WordTable("what", "where", "size", "unchanged for", look=None)
    for leftover in leftovers:
        n = len(leftover.processes)
        processes = f", {n} process{'es' * (n > 1)} still there" if n else ""
        age = readable_seconds(max(0.0, time.time() - leftover.changed))
        table.add_row(leftover.what + processes, escape(str(leftover.path)), _mib(leftover.bytes), age)
    return table


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB"


def _temporary_folders() -> Iterator[Leftover]:
    for path in sorted(Path(tempfile.gettempdir()).glob("dualpt-*")):
        if TEMPORARY_FOLDER.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _is_own(path):
            yield from _if_old("temporary folder", path)


def _of_the_cache() -> Iterator[Leftover]:
    root = cache_root()
    for pattern in CHECKPOINTS:
        for path in sorted((root / "checkpoints").glob(pattern)):
            yield from _if_old("checkpoint of a pack that was cut off", path)
    for path in sorted(root.rglob(f"{TEMPORARY_PREFIX}*")):
        yield from _if_old("half-written file", path)
    for lock in sorted((root / "outbox").glob(f"*/{LOCK}")):
        if not any(path.is_file() for path in lock.parent.rglob("*") if path != lock):
            yield from _if_old("lock of an empty outbox", lock)


def _places(store: str) -> Iterator[Iterable[Path]]:
    """Half-written files of the cache, and of the artifacts beside a store; a user's own may be called `book.part`."""
    yield cache_root().rglob(f"*{SUFFIX}")
    if (path := sqlite_path(store)) is not None:
        yield (path.parent / ARTIFACTS_FOLDER).rglob(f".*{SUFFIX}")


def _half_written(paths: Iterable[Path], *, running: bool) -> Iterator[Leftover]:
    """Those whose writer has ended, at once; those of other machines and of earlier versions when they are old."""
    for path in sorted(paths):
        if writer_is_gone(path):
            with contextlib.suppress(FileNotFoundError):
                yield Leftover("half-written file", path, *_size_and_change(path))
        elif not running:
            yield from _if_old("half-written file", path)


def _ray_sessions(processes: dict[int, str]) -> tuple[list[Leftover], list[Path]]:
    """Sessions whose driver, one of ours, has ended; and those without a process of which that is not known."""
    ours, unknown = [], []
    for path in sorted(Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray").glob("session_*_*")):
        if path.is_symlink() or not _is_own(path):
            continue
        named = {pid: command for pid, command in processes.items() if path.name in command}
        left = tuple(pid for pid, command in named.items() if RAY_PROCESS.search(command))
        marker = read_marker(path)
        if marker is not None and marker.is_gone:
            ours.append(Leftover("Ray session", path, *_size_and_change(path), left))
        elif marker is None and not named and time.time() - _size_and_change(path)[1] >= DAY:
            unknown.append(path)
    return ours, unknown


def _if_old(what: str, path: Path) -> Iterator[Leftover]:
    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
        n_bytes, changed = _size_and_change(path)
        if time.time() - changed >= DAY:
            yield Leftover(what, path, n_bytes, changed)


def _size_and_change(path: Path) -> tuple[int, float]:
    """Bytes in a file or folder, and when it last changed."""
    states = [path.lstat()]
    for member in path.rglob("*") if path.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            states.append(member.lstat())
    return sum(state.st_size for state in states), max(state.st_mtime for state in states)


def _is_own(path: Path) -> bool:
    """Whether the user who asks owns it; everybody's temporary files lie side by side."""
    return path.lstat().st_uid == os.getuid()


def _processes() -> Iterator[tuple[int, str]]:
    """Id and command line of every process; none where there is no /proc."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _is_sweep(command: str) -> bool:
    """Whether a process may be a driver or worker of ours."""
    worker = command.startswith("ray::") and not command.startswith(IDLE_RAY_WORKER)
    return worker or bool(re.search(r"(^|[/ ])dualpt($|[ .])", command))


def _own_line() -> set[int]:
    """This process and those that started it, whose command line names dualpt as well."""
    line, pid = {os.getpid()}, os.getppid()
    while pid > 1 and pid not in line:
        line.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return line


def _remove_all(leftovers: list[Leftover]) -> dict[Path, str]:
    """Remove what can be removed; the others with the reason."""
    refused = {}
    for leftover in leftovers:
        try:
            _remove(leftover)
        except Timeout:
            refused[leftover.path] = "in use"
        except OSError as error:
            refused[leftover.path] = error.strerror or str(error)
    return refused


def _remove(leftover: Leftover) -> None:
    _end(leftover.processes)
    path = leftover.path
    if path.name == LOCK:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a result has come meanwhile: the folder stays with it
            if (artifacts := path.parent / ARTIFACTS).is_dir():
                artifacts.rmdir()
            path.parent.rmdir()
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _end(pids: tuple[int, ...]) -> None:
    """Ask processes to end, then kill those that have not.

    Raises:
        PermissionError: one is another user's.
    """
    started = {pid: ticks for pid in pids if (ticks := started_at(pid)) is not None}
    for by in (signal.SIGTERM, signal.SIGKILL):
        for pid in _alive(started):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, by)
        deadline = time.monotonic() + END_SECONDS
        while _alive(started) and time.monotonic() < deadline:
            time.sleep(0.05)


def _alive(started: dict[int, int]) -> list[int]:
    """Those of the processes, by id and start, that have not ended."""
    return [pid for pid, ticks in started.items() if started_at(pid) == ticks]
