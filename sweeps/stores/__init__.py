"""Where runs and studies are kept: their addresses, and whether each can be used, found out before any work is done.

- `addresses`: every form in which a store may be named, and how one is shown without its password.
- `outages`: which errors mean that a store is away for a while, which that two processes met, and which stay.
- `probing`: asks a store whether it can be used, and writes nothing.
- `sqlite_files`: SQLite stores made under a lock and moved into place, copied before a migration, damage recognised.
- `launch_lock`: one launch of a sweep at a time on this machine.
- `server_lock`: one process at a time makes the tables of an empty database on a server.
- `credentials`: what stores read from the environment, taken from the driver to its workers.
"""

from dualpt.sweeps.stores.addresses import (
    ARTIFACTS_FOLDER,
    absolute_uri,
    file_store_refusal,
    is_database,
    is_new,
    journal_path,
    masked,
    sqlite_path,
)
from dualpt.sweeps.stores.launch_lock import only_launch
from dualpt.sweeps.stores.outages import Collision, StoreUnavailable, is_outage, outage
from dualpt.sweeps.stores.probing import examine, examine_study

__all__ = [
    "ARTIFACTS_FOLDER",
    "Collision",
    "StoreUnavailable",
    "absolute_uri",
    "examine",
    "examine_study",
    "file_store_refusal",
    "is_database",
    "is_new",
    "is_outage",
    "journal_path",
    "masked",
    "only_launch",
    "outage",
    "sqlite_path",
]
