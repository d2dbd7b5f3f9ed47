"""Where runs are kept: the address of a tracking store, and whether it can be used, told before any work is done."""

import contextlib
import re
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root
from dualpt.core.files.regular import check_regular

SQLITE, JOURNAL = "sqlite:///", "journal:///"
"""Beginnings of URIs whose rest is the path of a file."""
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
PROBE_SECONDS = 5.0
"""How long a tracking server or a database may take to answer at all."""


class StoreUnavailable(UserError):
    """The tracking store or the study's storage does not answer now, and may answer later."""


DATABASES = ("postgresql", "mysql", "mssql")
"""Database servers that hold a tracking store or a study."""

MAY_WRITE = """
SELECT current_setting('transaction_read_only') = 'off' AND CASE WHEN to_regclass('alembic_version') IS NULL
  THEN coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
  ELSE has_table_privilege('alembic_version', 'UPDATE') END
"""
"""PostgreSQL: whether the tables can be written, or made where there are none."""


def is_outage(error: BaseException | None) -> bool:
    """Whether an error says, itself or by its causes, that a store is away for a while."""
    return outage(error) is not None


def outage(error: BaseException | None) -> str | None:
    """What an error says, itself or by its causes, of a store that is away for a while, in one line; None otherwise.

    The study's database speaks for itself: Optuna's error over its own says nothing of it.
    """
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    while error is not None:
        if isinstance(error, StoreUnavailable):
            return " ".join(str(error).split())
        if isinstance(error, DBAPIError) and (
            isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        ):
            return f"the study's database: {(str(error.orig).strip() or 'no answer').splitlines()[0]}"
        error = error.__cause__ or error.__context__
    return None


def absolute_uri(uri: str) -> str:
    """The URI of a file with its path made absolute: workers stand in other folders. Others stay as they are."""
    for scheme in (SQLITE, JOURNAL):
        if uri.startswith(scheme):
            return f"{scheme}{Path(uri.removeprefix(scheme)).expanduser().absolute()}"
    return uri


def sqlite_path(uri: str) -> Path | None:
    """The file behind an SQLite URI, or None for every other store."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def journal_path(uri: str) -> Path | None:
    """The file behind the URI of an Optuna journal, or None for every other storage."""
    return Path(uri.removeprefix(JOURNAL)) if uri.startswith(JOURNAL) else None


def is_new(uri: str) -> bool:
    """Whether the store is a file, SQLite's or a journal, that does not exist yet or is empty."""
    uri = absolute_uri(uri)
    path = sqlite_path(uri) or journal_path(uri)
    return path is not None and not (path.is_file() and path.stat().st_size)


def examine_study(uri: str) -> None:
    """Find whether the study can be written. Writes nothing.

    Raises:
        StoreUnavailable: its database does not answer.
        UserError: it cannot.
    """
    if uri.startswith("sqlite") and ((path := sqlite_path(uri)) is None or path.name in ("", ":memory:")):
        raise UserError(f"run.study_storage: '{uri}' names no file, and would be lost; use sqlite:///optuna.db")
    uri = absolute_uri(uri)
    if (path := sqlite_path(uri)) is not None:
        _try_writing(path, "run.study_storage")
    elif (path := journal_path(uri)) is not None:
        _try_appending(path, "run.study_storage")
    elif is_database(uri):
        _try_connecting(uri, "run.study_storage")


def file_store_refusal(key: str, uri: str, who: str) -> str:
    """One line for a store that is a file on one machine of several, with the commands that serve it to all.

    Args:
        key: `run.tracking_uri` or `run.study_storage`.
        uri: the store.
        who: the machines that cannot reach it, as the subject of the sentence.
    """
    if key == "run.tracking_uri":
        remedy = (
            f"on this machine run `mlflow server --backend-store-uri {uri} --host 0.0.0.0 --port 5000`, "
            "then launch with run.tracking_uri=http://THIS_MACHINE:5000"
        )
    else:
        remedy = (
            "with PostgreSQL on this machine run `createdb optuna`, "
            "then launch with run.study_storage=postgresql+psycopg://USER:PASSWORD@THIS_MACHINE/optuna"
        )
    return f"{key}: {who} cannot share the file {uri}; {remedy.replace('THIS_MACHINE', socket.gethostname())}"


def is_database(uri: str) -> bool:
    """Whether a URI names a database server, as SQLAlchemy would reach it."""
    return _scheme(uri).partition("+")[0] in DATABASES


def _scheme(uri: str) -> str:
    """What stands before the colon; empty for a path. Passwords may hold what `urlsplit` refuses."""
    found = SCHEME.match(uri)
    return found[1].lower() if found else ""


@contextlib.contextmanager
def only_launch(uri: str, name: str) -> Iterator[None]:
    """Keep two launches of one sweep on this machine apart: each would take the other's candidates for orphans.

    The lock is the operating system's, so that a killed launch leaves none behind.

    Raises:
        UserError: another launch of the sweep is running.
    """
    lock = cache_root() / "locks" / f"{fingerprint([absolute_uri(uri), name])[:32]}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"sweep '{name}' is being run by another process; wait for it, or give this one another name with name=…"
        ) from None


def examine(uri: str) -> None:
    """Find what MLflow would report late, at length, or after minutes of retries. Writes nothing.

    Raises:
        UserError: the store cannot be used; the line says why, and the remedy.
    """
    scheme = _scheme(uri)
    if scheme in ("http", "https"):
        _probe(uri)
    elif scheme in ("", "file"):
        raise UserError(
            f"run.tracking_uri: '{uri}' is a folder, and MLflow no longer keeps runs in plain files; "
            "use a database such as sqlite:///mlflow.db"
        )
    elif uri.startswith("sqlite"):
        path = sqlite_path(uri)
        if path is None or path.name in ("", ":memory:"):
            raise UserError(
                f"run.tracking_uri: '{uri}' names no file that workers could share; use sqlite:///mlflow.db"
            )
        _try_writing(path, "run.tracking_uri")
    elif is_database(uri):
        _try_connecting(uri, "run.tracking_uri")


def _probe(uri: str) -> None:
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS)
    except requests.RequestException as error:
        raise StoreUnavailable(
            f"run.tracking_uri: no MLflow server answers at {uri} ({type(error).__name__}); start one with "
            "`mlflow server --backend-store-uri sqlite:///mlflow.db`, or use run.tracking_uri=sqlite:///mlflow.db"
        ) from None


def _try_appending(path: Path, key: str) -> None:
    """Try a plain file, or, where there is none yet, its folder."""
    check_regular(path, f"choose another file with {key}=journal:////path/file")
    try:
        if path.exists():
            with path.open("ab"):
                pass
        else:
            _try_folder(path)
    except OSError as error:
        raise UserError(
            f"{key}: {path} cannot be written ({error.strerror}); choose another file with {key}=journal:////path/file"
        ) from None


def _try_folder(path: Path) -> None:
    """Write in the folder of a file to be, or in the nearest one above it that is there."""
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    with tempfile.TemporaryFile(dir=existing):
        pass


def _try_connecting(uri: str, key: str) -> None:
    """Ask a database server whether this user may write; MLflow and Optuna would go on asking for minutes."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    shown = uri.rpartition("@")[2]
    try:
        address = sqlalchemy.make_url(uri)
        shown = address.render_as_string(hide_password=True)
        ours = address.get_backend_name() == "postgresql"
        limit = {"connect_timeout": int(PROBE_SECONDS)} if ours else {}
        engine = sqlalchemy.create_engine(address, connect_args=limit)
        with engine.connect() as connection:
            writable = not ours or bool(connection.execute(sqlalchemy.text(MAY_WRITE)).scalar())
        engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError) as error:  # ValueError: a port that is no number
        kind = StoreUnavailable if is_outage(error) else UserError
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise kind(f"{key}: {shown} cannot be used ({reason}); is the server running, and the address right?") from None
    if not writable:
        raise UserError(f"{key}: this user may not write to {shown}; grant it the rights, or name the primary server")


def _try_writing(path: Path, key: str) -> None:
    """Try the file, or, where there is none yet, its folder: nothing is left behind."""
    check_regular(path, f"choose another file with {key}=sqlite:////path/file.db")
    try:
        if path.is_file():
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA user_version").fetchone()
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
        else:
            _try_folder(path)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{key}: {path} cannot be written ({reason}); choose another file with {key}=sqlite:////path/{path.name}"
        ) from None
