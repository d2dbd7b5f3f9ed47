"""One launch of a sweep at a time on this machine."""

import contextlib
from collections.abc import Iterator

from filelock import Timeout

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root, holding
from dualpt.sweeps.stores.addresses import absolute_uri


@contextlib.contextmanager
def only_launch(uri: str, name: str) -> Iterator[None]:
    """Keep two launches of one sweep on this machine apart: each would take the other's candidates for orphans.

    The lock is the operating system's, so a killed launch leaves none behind.

    Raises:
        UserError: another launch of the sweep is running, or the cache can't be written.
    """
    lock = cache_root() / "locks" / f"{fingerprint([absolute_uri(uri), name])[:32]}.lock"
    try:
        with holding(lock, timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"sweep '{name}' is being run by another process; wait for it, or give this one another name with name=…"
        ) from None
