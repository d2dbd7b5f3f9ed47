"""Optuna journals: files of one JSON document per line, to which every process of a study appends.

Optuna appends behind whatever the file ends with. A line that a kill or a full disk has cut off would swallow the next
one, and no later launch could read the study. It is therefore cut away, and kept, before anything is appended; what a
full disk has taken of a record is taken back at once.
"""

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from dualpt.sweeps.stores import StoreUnavailable

BEGINNING = b'{"op_code"'
"""Of every record; a journal may have been cut off in its first."""

logger = logging.getLogger(__name__)


def open_journal(path: Path, *, to_write: bool) -> JournalStorage:
    """Open a journal, which is made where there is none.

    Args:
        path: the file.
        to_write: whether a line that was cut off at its end is cut away; Optuna reads what stands before it anyhow.

    Raises:
        ValueError: a line is no record of Optuna's: the file is damaged, or is not a journal.
        OSError: it cannot be read or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileSymlinkLock(str(path))
    if path.is_file() and path.stat().st_size:
        with _held(lock) if to_write else contextlib.nullcontext():
            sound = _sound_bytes(path)
            if to_write and sound < path.stat().st_size:
                _cut_off(path, sound)
    try:
        return JournalStorage(_WholeRecords(path, lock))  # reads every record, and trusts them
    except (OSError, ValueError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"a record is damaged, Optuna cannot read it ({reason}); put a copy in its place") from None


class _WholeRecords(JournalFileBackend):
    """Takes back what a disk has taken of a record in part: the next record would be appended behind it."""

    def __init__(self, path: Path, lock: JournalFileSymlinkLock) -> None:
        super().__init__(str(path), lock)
        self._path, self._own_lock = path, lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """
        Raises:
            StoreUnavailable: the file cannot be written now; a full disk may have room again.
        """
        try:
            super().append_logs(logs)
        except OSError as error:
            with contextlib.suppress(OSError), _held(self._own_lock), self._path.open("r+b") as file:
                file.truncate(file.read().rfind(b"\n") + 1)
            raise StoreUnavailable(
                f"run.study_storage: {self._path} cannot be written ({error.strerror}); make room there"
            ) from error


def _sound_bytes(path: Path) -> int:
    """How many bytes from the beginning are complete lines.

    Raises:
        ValueError: one of them is no record of Optuna's.
    """
    sound, line = 0, b""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            _check(line, number)
            sound += len(line)
    if not sound and not line.startswith(BEGINNING):
        raise ValueError("the file is not an Optuna journal")
    return sound


def _check(line: bytes, number: int) -> None:
    try:
        read = json.loads(line)
        known = isinstance(read, dict) and isinstance(read.get("op_code"), int)
    except (ValueError, RecursionError):
        known = False
    if not known:
        found = "the file is not an Optuna journal" if number == 1 else f"line {number} is damaged"
        remedy = f"; put a copy in its place, or keep what stands before that line (`head -n {number - 1}`)"
        raise ValueError(found + (remedy if number > 1 else ""))


def _cut_off(path: Path, sound: int) -> None:
    """Move what stands behind the complete lines to a file beside it."""
    kept = path.with_name(f"{path.name}.cut-{time.strftime('%Y%m%d-%H%M%S')}")
    with path.open("r+b") as file:
        file.seek(sound)
        kept.write_bytes(file.read())
        file.truncate(sound)
    logger.warning("%s ended in half a line, which was cut off in mid-write; it is kept in %s", path, kept)


@contextlib.contextmanager
def _held(lock: JournalFileSymlinkLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
