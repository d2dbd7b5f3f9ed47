"""Asks a store whether it can be used, before any work is done: MLflow and Optuna would say so late, or at length.

Writes nothing, so a dry run may ask too.
"""

import contextlib
import re
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from dualpt.core.errors import UserError
from dualpt.sweeps.stores.addresses import (
    DATABASES,
    JOURNAL,
    absolute_uri,
    is_database,
    journal_path,
    masked,
    sqlite_path,
)
from dualpt.sweeps.stores.outages import StoreUnavailable, is_outage
from dualpt.sweeps.stores.sqlite_files import damage

PROBE_SECONDS = 5.0
"""How long a tracking server or a database may take to answer at all."""
HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(/.*)?")
ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
"""What SQLAlchemy decodes in the path of an SQLite file, from 2.1 on; MLflow makes the folder as it is written."""
TRACKING, STUDY = "run.tracking_uri", "run.study_storage"
EXAMPLES = {TRACKING: "sqlite:///mlflow.db", STUDY: "sqlite:///optuna.db"}

MAY_WRITE = """
SELECT current_setting('transaction_read_only') = 'off' AND CASE WHEN to_regclass('alembic_version') IS NULL
  THEN coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
  ELSE has_table_privilege('alembic_version', 'UPDATE') END
"""
"""PostgreSQL: whether the tables can be written, or made where there are none."""


def examine(uri: str) -> None:
    """Find out whether the tracking store can be used.

    Raises:
        StoreUnavailable: its server does not answer.
        UserError: it cannot be used; the line says why, and the remedy.
    """
    uri = absolute_uri(uri)
    scheme = _scheme(uri, TRACKING)
    if scheme in ("http", "https"):
        _probe(uri)
    elif scheme.startswith("sqlite") or is_database(uri):
        _examine_database(uri, TRACKING)
    elif uri.startswith(JOURNAL) or scheme.startswith("redis"):
        raise UserError(
            f"{TRACKING}: {masked(uri)} can hold an Optuna study and no runs; use a database such as "
            f"{EXAMPLES[TRACKING]}"
        )
    elif HOST_AND_PORT.fullmatch(uri):
        raise UserError(f"{TRACKING}: {uri} names no scheme; write http://{uri}")
    elif scheme in ("", "file") and not uri.startswith("databricks"):
        raise UserError(f"{TRACKING}: {_no_folder(uri)}")


def examine_study(uri: str) -> None:
    """Find out whether the study can be written.

    Raises:
        StoreUnavailable: its database does not answer.
        UserError: it cannot be used; the line says why, and the remedy.
    """
    uri = absolute_uri(uri)
    scheme = _scheme(uri, STUDY)
    if uri.startswith(JOURNAL):
        if (path := journal_path(uri)) is None:
            raise UserError(f"{STUDY}: {uri} names no file; use journal:///optuna.log")
        _try_appending(path, STUDY)
    elif scheme.startswith("sqlite") or is_database(uri):
        _examine_database(uri, STUDY)
    else:
        raise UserError(f"{STUDY}: {_no_study(uri, scheme)}")


def _scheme(uri: str, key: str) -> str:
    try:
        return urlsplit(uri).scheme
    except ValueError as error:
        raise UserError(f"{key}: {masked(uri)} is not an address ({error})") from None


def _no_folder(uri: str) -> str:
    """What to say of a path given as a tracking store."""
    path = Path(uri.removeprefix("file://").removeprefix("file:"))
    if path.suffix in (".db", ".sqlite", ".sqlite3") and not path.is_dir():
        return f"'{uri}' is a path; for a database file write sqlite:///{path}"
    return (
        f"'{uri}' is a folder, and MLflow no longer keeps runs in plain files; use a database such as "
        f"{EXAMPLES[TRACKING]}"
    )


def _no_study(uri: str, scheme: str) -> str:
    """What to say of an address that keeps no study."""
    if scheme.startswith("redis"):
        return f"{masked(uri)}: studies are not kept in Redis here; use a database such as postgresql+psycopg://…"
    if scheme in ("http", "https", "grpc"):
        return f"{masked(uri)}: a study is kept in a database or a file, not by a web server; use {EXAMPLES[STUDY]}"
    if scheme in ("", "file"):
        path = Path(uri.removeprefix("file://").removeprefix("file:"))
        kind = "journal" if path.suffix in (".log", ".journal", ".jsonl") else "sqlite"
        return f"'{uri}' is a path; write {kind}:///{path}"
    return (
        f"{masked(uri)}: Optuna knows no storage of this kind; use {EXAMPLES[STUDY]}, or one of {', '.join(DATABASES)}"
    )


def _examine_database(uri: str, key: str) -> None:
    """An SQLite file, or a database server."""
    if is_database(uri):
        _try_connecting(uri, key)
        return
    path = sqlite_path(uri)
    if path is None:
        raise UserError(f"{key}: '{uri}' names no file that workers could share; use {EXAMPLES[key]}")
    if "?" in absolute_uri(uri):
        raise UserError(f"{key}: the parameters of '{uri}' are not supported; use sqlite:///{path}")
    if (code := ENCODED.search(str(path))) is not None:
        raise UserError(
            f"{key}: {path} holds '{code[0]}', which SQLAlchemy reads as another character; give a path without it, "
            "by moving or renaming the folder if need be"
        )
    _try_writing(path, key)


def _probe(uri: str) -> None:
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise StoreUnavailable(
            f"run.tracking_uri: no MLflow server answers at {masked(uri)} ({type(error).__name__}); start one with "
            "`mlflow server --backend-store-uri sqlite:///mlflow.db`, or use run.tracking_uri=sqlite:///mlflow.db"
        ) from None
    except requests.RequestException as error:
        raise UserError(f"run.tracking_uri: {masked(uri)} cannot be asked ({masked(str(error))})") from None


def _try_appending(path: Path, key: str) -> None:
    """Try a plain file, or, where there is none yet, its folder."""
    _must_be_plain(path, key)
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


def _must_be_plain(path: Path, key: str) -> None:
    """Refuse a folder, which takes ten tries to fail, a FIFO, which would be waited for forever, and a broken link."""
    dangling = path.is_symlink() and not path.exists()
    if dangling or (path.exists() and not path.is_file()):
        kind = "is a folder" if path.is_dir() else "leads nowhere" if dangling else "is not a regular file"
        name = "mlflow.db" if key == TRACKING else "optuna.db"
        raise UserError(f"{key}: {path} cannot be written: it {kind}; name a file, such as sqlite:///{path / name}")


def _try_folder(path: Path) -> None:
    """Write in the folder of a file that is still to be made, or in the nearest existing one above it."""
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    with tempfile.TemporaryFile(dir=existing):
        pass


def _try_connecting(uri: str, key: str) -> None:
    """Ask a database server whether this user may write; MLflow and Optuna would go on asking for minutes."""
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    uri, shown = absolute_uri(uri), masked(uri)
    try:
        address = sqlalchemy.make_url(uri)
        ours = address.get_backend_name() == "postgresql"
        limit = {"connect_timeout": int(PROBE_SECONDS)} if ours else {}
        engine = sqlalchemy.create_engine(address, connect_args=limit)
        with engine.connect() as connection:
            writable = not ours or bool(connection.execute(sqlalchemy.text(MAY_WRITE)).scalar())
        engine.dispose()
    except ModuleNotFoundError as error:
        better = "; use postgresql+psycopg://…" if ours else ", or use postgresql+psycopg://…"
        raise UserError(
            f"{key}: {shown} needs the Python package {error.name}, which is not installed; install it on every "
            f"machine{better}"
        ) from None
    except (SQLAlchemyError, ImportError, ValueError) as error:
        kind = StoreUnavailable if is_outage(error) else UserError
        reason = masked(str(getattr(error, "orig", None) or error).strip().splitlines()[0])
        raise kind(f"{key}: {shown} cannot be used ({reason}); is the server running, and the address right?") from None
    if not writable:
        raise UserError(f"{key}: this user may not write to {shown}; grant it the rights, or name the primary server")


def _try_writing(path: Path, key: str) -> None:
    """Try the file, or, where there is none yet, its folder: nothing is left behind."""
    _must_be_plain(path, key)
    try:
        if not path.is_file():
            _try_folder(path)
            return
        if (reason := damage(path)) is not None:
            raise UserError(f"{key}: {path} cannot be written: {reason}")
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except (OSError, sqlite3.Error) as error:
        locked = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        kind = StoreUnavailable if locked else UserError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise kind(
            f"{key}: {path} cannot be written ({reason}); choose another file with {key}=sqlite:////path/{path.name}"
        ) from None
