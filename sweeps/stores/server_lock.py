"""One process at a time makes the tables of an empty database on a server, on whatever machine the others run."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy

LOCK_NUMBER = 0x6475616C70740001
"""Of the advisory lock."""


@contextlib.contextmanager
def alone_in(engine: "sqlalchemy.Engine") -> Iterator[None]:
    """Hold PostgreSQL's advisory lock, which ends with its connection. Other servers have none that ends so."""
    import sqlalchemy

    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:number)"), {"number": LOCK_NUMBER})
        try:
            yield
        finally:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:number)"), {"number": LOCK_NUMBER})
