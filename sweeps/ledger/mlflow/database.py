"""The tables of a tracking store that is a database: made by one process alone, and never migrated without a word."""

import logging
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import mlflow
import sqlalchemy
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from dualpt.core.errors import UserError
from dualpt.sweeps.stores import examine, is_database, masked, sqlite_path
from dualpt.sweeps.stores.addresses import SQLITE
from dualpt.sweeps.stores.server_lock import alone_in
from dualpt.sweeps.stores.sqlite_files import (
    VERSION_TABLE,
    alone_with,
    copy_before_migration,
    make_if_new,
    revision,
)

logger = logging.getLogger(__name__)

CONTENT = ("runs", "metrics", "registered_models")
"""Tables that hold what must not be lost."""


def prepare(uri: str) -> None:
    """Make the tables where there are none, and bring those of an older MLflow up to date; an SQLite file is copied.

    Servers look after their own tables.

    Raises:
        UserError: the tables are of a newer MLflow, or of an older one in a database that must be copied by hand.
    """
    if (path := sqlite_path(uri)) is not None:
        make_if_new(path, _make, CONTENT)
        _bring_up_to_date(path, uri)
    elif is_database(uri):
        _prepare_server(uri)


def _make(uri: str) -> None:
    # MLflow's own default; experiments of sweeps name places of their own.
    store = SqlAlchemyStore(uri, "./mlruns")  # type: ignore[no-untyped-call]
    store.engine.dispose()


def refuse_to_migrate(uri: str) -> None:
    """Refuse a store that MLflow would migrate by opening it, for commands that only look.

    Raises:
        UserError: an SQLite file whose tables are of an older MLflow, or a store that cannot be used.
    """
    examine(uri)
    path = sqlite_path(uri)
    if path is not None and revision(path) not in (None, newest()):
        raise UserError(
            f"{path}: its tables are of another MLflow than {version('mlflow')}, and reading settings from it would "
            "migrate them; leave out --dry-run, and a copy is made first"
        )


def _bring_up_to_date(path: Path, uri: str) -> None:
    found = revision(path)
    if found is None or found == newest():
        return
    _refuse_newer(found, uri)
    with alone_with(path):
        if revision(path) == newest():  # another process has done it meanwhile
            return
        copy = copy_before_migration(path, found)
        logger.warning(
            "%s was written by an older MLflow: its tables are migrated to MLflow %s, and the older one can then not "
            "open it; a copy is kept in %s",
            path,
            version("mlflow"),
            copy,
        )
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", f"{SQLITE}{path}"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise UserError(f"{path}: its tables could not be migrated ({reason}); put {copy} in its place")


def _prepare_server(uri: str) -> None:
    """Several sweeps may begin on an empty database at once, from several machines: one makes the tables."""
    engine = sqlalchemy.create_engine(uri)
    try:
        with alone_in(engine):
            with engine.connect() as connection:
                known = VERSION_TABLE in sqlalchemy.inspect(connection).get_table_names()
                found = (
                    connection.execute(sqlalchemy.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
                    if known
                    else None
                )
            if found is None:
                _make(uri)
            elif found != newest():
                _refuse_newer(str(found), uri)
                raise UserError(
                    f"tracking store {masked(uri)}: its tables are of an older MLflow; make a backup, then run "
                    f"`mlflow db upgrade {masked(uri)}`; no MLflow before {version('mlflow')} can open it afterwards"
                )
    finally:
        engine.dispose()


def _refuse_newer(found: str, uri: str) -> None:
    """
    Raises:
        UserError: this MLflow does not know the revision, so a newer one wrote it.
    """
    try:
        _scripts().get_revision(found)
    except CommandError:
        raise UserError(
            f"tracking store {masked(uri)}: its tables (revision {found}) are of a newer MLflow than the "
            f"{version('mlflow')} installed here; install the newer one on every machine, or name another store"
        ) from None


def newest() -> str:
    """The revision of the tables that the installed MLflow works with."""
    return str(_scripts().get_current_head())


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
