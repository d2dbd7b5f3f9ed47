"""Addresses of stores: the files behind them, their one spelling, and how they are shown without their secrets."""

import contextlib
import re
import socket
import sqlite3
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
SQLITE, JOURNAL = "sqlite:///", "journal:///"
"""Beginnings of URIs whose rest is the path of a file."""
ARTIFACTS_FOLDER = "mlartifacts"
"""Beside a tracking store that is an SQLite file; holds `<experiment>/<run>/artifacts`."""
DATABASES = ("postgresql", "mysql", "mssql")
"""Database servers that hold a tracking store or a study."""

_USER, _PASSWORD = r"://[^/\s:@'\"]*", r"(?:(?!://)[^\s\"])*@"
PASSWORD = re.compile(
    rf"(?P<web>(?:(?<=http)|(?<=https)){_USER}):(?!\d{{1,5}}/){_PASSWORD}|(?P<other>(?<!http)(?<!https){_USER}):{_PASSWORD}"
)
"""Up to the last `@`, as SQLAlchemy takes slashes and apostrophes as they stand; `http://h:50/a@b` has no password."""
SECRET_PARAMETER = re.compile(
    r"(?P<name>[?&](?:password|passwd|pwd|sslpassword|token|access_token|sig)=)[^&\s'\"]+", re.I
)


def masked(text: str) -> str:
    """A text, an address or an error, with the passwords of all addresses in it replaced by `***`."""
    return SECRET_PARAMETER.sub(r"\g<name>***", PASSWORD.sub(_without_password, text))


def _without_password(found: re.Match[str]) -> str:
    return f"{found['web'] or found['other']}:***@"


def absolute_uri(uri: str) -> str:
    """The one spelling of a store's URI, with the path of a file made absolute: workers stand in other folders.

    SQLite's own `sqlite:///file:PATH?uri=true` and `sqlite+pysqlite:///PATH` become `sqlite:////PATH`, and the plain
    `postgresql://` (`postgres://`), which stands for a driver that need not be installed, names the one that is. Other
    addresses of servers, and SQLite addresses that name no file, stay as they are.
    """
    if (path := journal_path(uri)) is not None:
        return f"{JOURNAL}{path}"
    if (path := sqlite_path(uri)) is not None:
        parameters = [(name, value) for name, value in parse_qsl(urlsplit(uri).query) if name != "uri"]
        return f"{SQLITE}{path}" + (f"?{urlencode(parameters)}" if parameters else "")
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", uri)


def sqlite_path(uri: str) -> Path | None:
    """The absolute path of the file behind an SQLite URI; None for every other store, and where it names no file."""
    scheme, separator, rest = uri.partition(":///")
    if not separator or scheme not in ("sqlite", "sqlite+pysqlite"):
        return None
    name, _, query = rest.partition("?")
    if name.startswith("file:"):
        name = unquote(re.sub(r"^file:(//(localhost)?(?=/))?", "", name))
    if name in ("", ":memory:") or "mode=memory" in query:
        return None
    return Path(name).expanduser().absolute()


def journal_path(uri: str) -> Path | None:
    """The absolute path of the file behind the URI of an Optuna journal, or None for every other storage."""
    name = uri.removeprefix(JOURNAL)
    return Path(name).expanduser().absolute() if name != uri and name else None


def is_new(uri: str) -> bool:
    """Whether the store is a file, SQLite's or a journal, that does not exist yet or holds nothing."""
    if (path := journal_path(uri)) is not None:
        return not path.exists() or (path.is_file() and not path.stat().st_size)
    path = sqlite_path(uri)
    return path is not None and (not path.exists() or (path.is_file() and _has_no_tables(path)))


def _has_no_tables(path: Path) -> bool:
    """Whether an SQLite file was begun and left empty; one that cannot be read is not (`probing` says why)."""
    if not path.stat().st_size:
        return True
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,))
    return False


def is_database(uri: str) -> bool:
    """Whether a URI names a database server, as SQLAlchemy would reach it."""
    found = SCHEME.match(uri)  # not `urlsplit`, which refuses what passwords may hold
    return found is not None and found[1].lower().partition("+")[0] in DATABASES


def file_store_refusal(key: str, uri: str, who: str) -> str:
    """One line for a store that is a file on one machine of several, with the commands that serve it to all.

    Args:
        key: `run.tracking_uri` or `run.study_storage`.
        uri: the store.
        who: the machines that cannot reach it, as the subject of the sentence.
    """
    if key == "run.tracking_uri":
        remedy = (
            f"on this machine run `mlflow server --backend-store-uri {uri} --host $(hostname -i) --port 5000`, which "
            "asks for no password, then launch with run.tracking_uri=http://THIS_MACHINE:5000"
        )
    else:
        remedy = (
            "with PostgreSQL on this machine run `createdb optuna`, "
            "then launch with run.study_storage=postgresql+psycopg://USER:PASSWORD@THIS_MACHINE/optuna"
        )
    return f"{key}: {who} cannot share the file {uri}; {remedy.replace('THIS_MACHINE', socket.gethostname())}"
