"""What an error of a store means: it is away for a while, two processes wrote at once, or trying again is useless.

Neither MLflow nor a tracking server passes on the classes of a database's errors, only SQLAlchemy's text of them:
`(psycopg.errors.UniqueViolation) duplicate key value …`. The class is read from that text.
"""

import re
from enum import Enum

from dualpt.core.errors import UserError


class StoreUnavailable(UserError):
    """The tracking store or the study's storage does not answer now, and may answer later."""


class Collision(UserError):
    """Another process wrote the same row at the same moment; the same call finds that row and succeeds."""


class Verdict(Enum):
    """What a database's error means for the call that met it."""

    AWAY = "may pass by itself: no connection, a lock, a full disk"
    COLLISION = "another process came first: try again at once"
    PERMANENT = "the same at every attempt"


DATABASE_ERROR = re.compile(r"\((?P<module>[a-z_A-Z][\w.]*)\.(?P<kind>[A-Z]\w+)\)\s*(?P<text>.*)", re.DOTALL)
"""How SQLAlchemy begins its text of a driver's error."""
UNIQUE = re.compile(r"unique|duplicate|\b1062\b", re.IGNORECASE)
DEADLOCK = re.compile(r"deadlock|could not serialize|\b1213\b|\b1205\b", re.IGNORECASE)
STAYS = re.compile(
    r"no such (table|column)|has no column|readonly database|malformed|not a database|unknown column"
    r"|password authentication failed|does not exist|access denied",
    re.IGNORECASE,
)
"""Errors that SQLite and others call operational, and that no waiting heals."""
CUT_OFF = ("IdleInTransactionSessionTimeout", "TransactionTimeout", "InFailedSqlTransaction")
"""Errors of PostgreSQL that it doesn't call operational, and that end a transaction which can be made again."""


def verdict(module: str, kind: str, text: str) -> Verdict:
    """Judge a driver's error by its class, as `module.kind`, and by its text."""
    if kind in ("IntegrityError", "UniqueViolation"):
        return Verdict.COLLISION if UNIQUE.search(text) else Verdict.PERMANENT
    if kind in ("DeadlockDetected", "SerializationFailure") or DEADLOCK.search(text):
        return Verdict.COLLISION
    operational = kind in ("OperationalError", "InterfaceError", *CUT_OFF) or _is_operational(module, kind)
    return Verdict.AWAY if operational and not STAYS.search(text) else Verdict.PERMANENT


def verdict_on(text: str) -> Verdict | None:
    """Judge an error by SQLAlchemy's text of it; None where the text is of no database."""
    found = DATABASE_ERROR.search(text)
    return None if found is None else verdict(found["module"], found["kind"], found["text"])


def _is_operational(module: str, kind: str) -> bool:
    """Whether one of PostgreSQL's errors, which have a class each, is of the operational kind (`AdminShutdown`)."""
    if not module.startswith("psycopg"):
        return False
    import psycopg

    found = getattr(psycopg.errors, kind, None)
    return isinstance(found, type) and issubclass(found, psycopg.OperationalError | psycopg.InterfaceError)


def is_outage(error: BaseException | None) -> bool:
    """Whether an error says, itself or by its causes, that a store is away for a while."""
    return outage(error) is not None


def outage(error: BaseException | None) -> str | None:
    """What an error says, itself or by its causes, of a store that is away for a while, in one line; None otherwise.

    The study's database speaks for itself: Optuna's error over its own says nothing of it.
    """
    from sqlalchemy.exc import DBAPIError

    while error is not None:
        if isinstance(error, StoreUnavailable):
            return " ".join(str(error).split())
        if isinstance(error, DBAPIError) and (error.connection_invalidated or _verdict_of(error) is Verdict.AWAY):
            return f"the study's database: {(str(error.orig).strip() or 'no answer').splitlines()[0]}"
        error = error.__cause__ or error.__context__
    return None


def _verdict_of(error: Exception) -> Verdict:
    """Judge one of SQLAlchemy's errors; those of tests and of pools may have no driver's error beneath them."""
    driver = getattr(error, "orig", None)
    kind = type(error).__name__
    if driver is not None and type(driver).__module__.partition(".")[0] not in ("builtins", ""):
        kind = type(driver).__name__
    return verdict(type(driver).__module__, kind, str(driver))
