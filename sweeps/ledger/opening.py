"""Opens a store to be read: a database by SQL, a tracking server through MLflow."""

from dualpt.core.errors import UserError
from dualpt.sweeps.ledger.reading import DatabaseReader, SweepReader
from dualpt.sweeps.ledger.sql import is_readable_by_sql
from dualpt.sweeps.stores import is_new, masked


def open_reader(store: str) -> SweepReader:
    """The tracking store, to be read.

    Raises:
        UserError: the store does not exist, or cannot be used.
    """
    check_exists(store)
    if is_readable_by_sql(store):
        return DatabaseReader(store)
    from dualpt.sweeps.ledger.mlflow import Ledger  # loads MLflow, which takes two seconds

    return Ledger(store)


def check_exists(store: str) -> None:
    """Refuse a store that nothing has been recorded in.

    Raises:
        UserError: it is a file that doesn't exist, or is empty.
    """
    if is_new(store):
        raise UserError(f"{masked(store)}: no such tracking store here; run a sweep first, or name one with --store")
