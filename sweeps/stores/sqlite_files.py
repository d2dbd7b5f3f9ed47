"""SQLite stores as files: made whole or not at all, copied before they are migrated, and their damage recognised.

The first use of an empty database is a chain of migrations, in MLflow and in Optuna alike, and processes that begin it
together, or one that is killed in it, leave a file that no later launch can use. A store is therefore made under a
lock, in a file beside its place, and moved there when it is complete.
"""

import contextlib
import logging
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root, holding
from dualpt.sweeps.stores.addresses import SQLITE

logger = logging.getLogger(__name__)

MAGIC = b"SQLite format 3\0"
CHECKED_WHOLE = 64 * 2**20
"""Largest file, in bytes, of which every page is checked; it takes less than a second."""
VERSION_TABLE = "alembic_version"
"""Written last by the migrations of MLflow and of Optuna."""
RECOVERY = "restore a copy of it, or save what can be read with `sqlite3 {path} .recover | sqlite3 recovered.db`"


@contextlib.contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Hold off this machine's other processes while a store is made or migrated.

    Raises:
        StorageError: the cache can't be written.
    """
    with holding(cache_root() / "locks" / f"store-{fingerprint(str(path))[:32]}.lock"):
        yield


def make_if_new(path: Path, make: Callable[[str], None], content: Sequence[str]) -> None:
    """Make a store where there is none; one whose making was cut off, and which holds nothing, is made again.

    Args:
        path: the file.
        make: makes a store at a URI, and closes it.
        content: tables that hold what must not be lost.

    Raises:
        UserError: the file holds content and was cut off in a migration.
    """
    if _is_complete(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone_with(path):
        if _is_complete(path):
            return
        for left in path.parent.glob(f".{path.name}.making-*"):  # of a killed process; the lock is ours
            left.unlink(missing_ok=True)
        if path.exists():
            _set_aside(path, content)
        temporary = path.with_name(f".{path.name}.making-{secrets.token_hex(4)}")
        try:
            make(f"{SQLITE}{temporary}")
            _move_in(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _move_in(temporary: Path, path: Path) -> None:
    """Give the file its name, unless a process of another machine has come first."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not path.exists():
            os.replace(temporary, path)


def _set_aside(path: Path, content: Sequence[str]) -> None:
    """Remove an empty file; keep a half-made one that holds nothing under another name."""
    counted = _rows(path, content)
    if any(counted.values()):
        held = ", ".join(f"{number} {table}" for table, number in counted.items() if number)
        raise UserError(
            f"{path}: a migration of this store was cut off, and it holds {held}; put the copy that was made before it "
            f"({path.name}.before-…) in its place, or another backup"
        )
    if not tables(path):
        path.unlink()
        return
    kept = path.with_name(f"{path.name}.half-made-{secrets.token_hex(2)}")
    path.rename(kept)
    logger.warning(
        "%s was left half made by a process that was killed, and holds nothing: made again (kept: %s)", path, kept
    )


def _is_complete(path: Path) -> bool:
    """Whether a store has been made to its end. A file that cannot be read is left to `damage`."""
    if not path.is_file() or not path.stat().st_size:
        return False
    found = tables(path)
    if not found or VERSION_TABLE not in found or any(name.startswith("_alembic_tmp") for name in found):
        return False
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute(f"SELECT count(*) FROM {VERSION_TABLE}").fetchone()[0])


def tables(path: Path) -> frozenset[str]:
    """Names of a file's tables; none where there is no file.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    if not path.is_file():
        return frozenset()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return frozenset(name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))


def revision(path: Path) -> str | None:
    """The revision of a store's tables, or None where it has none."""
    if VERSION_TABLE not in tables(path):
        return None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    return None if row is None else str(row[0])


def _rows(path: Path, content: Sequence[str]) -> dict[str, int]:
    """How many rows each of some tables has."""
    known = tables(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in content if name in known
        }


def copy_before_migration(path: Path, found: str) -> Path:
    """Copy a store beside itself, as one consistent state even while others write.

    Args:
        found: the revision that it has.

    Raises:
        UserError: there is no room for the copy.
    """
    copy = path.with_name(f"{path.name}.before-{time.strftime('%Y%m%d-%H%M%S')}-{found[:8]}")
    try:
        if shutil.disk_usage(path.parent).free < path.stat().st_size:
            raise UserError(f"{path}: no room for a copy before its tables are migrated; make room in {path.parent}")
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except (OSError, sqlite3.Error) as error:
        copy.unlink(missing_ok=True)
        raise UserError(
            f"{path}: it must be copied before its tables are migrated, and {copy} cannot be written ({error})"
        ) from None
    return copy


def damage(path: Path) -> str | None:
    """What is wrong with an SQLite file, and the remedy; None where it is sound, or empty.

    Raises:
        sqlite3.OperationalError: it is locked.
    """
    if not path.stat().st_size:
        return None
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(MAGIC):
        return "it is not an SQLite database (cannot be read as one); name another file"
    remedy = RECOVERY.format(path=path)
    if len(header) == 100 and not path.with_name(f"{path.name}-wal").exists() and _is_cut_off(header, path):
        return f"the file is cut off (truncated); {remedy}"
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if path.stat().st_size <= CHECKED_WHOLE:
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    return f"the file is damaged ({' '.join(str(found).split())}); {remedy}"
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return f"the file is damaged ({error}); {remedy}"
    return None


def _is_cut_off(header: bytes, path: Path) -> bool:
    """Whether the file is shorter than its header says; where the header is not up to date, that is unknown."""
    page = int.from_bytes(header[16:18], "big")
    pages, changes, valid_for = (int.from_bytes(header[at : at + 4], "big") for at in (28, 24, 92))
    return changes == valid_for and path.stat().st_size < pages * (65536 if page == 1 else page)
