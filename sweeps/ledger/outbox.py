"""Results kept as files while the tracking store is away, one a cell, and delivered when it is back.

A worker keeps what it cannot deliver in the outbox of its machine and hands the same record to the driver with its next
report; the driver keeps it in its own and delivers it. Whoever comes first writes it: a record that is in the ledger
already is taken out of an outbox and not written again. A launch delivers its machine's outbox before it asks the
ledger what is missing, and a worker process its machine's before it trains.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root, write_atomically
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.records import CellOutcome
from dualpt.sweeps.stores import absolute_uri

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.mlflow import Ledger

LOCK = ".lock"


class Outbox:
    """The outbox of one tracking store on this machine."""

    def __init__(self, uri: str) -> None:
        self.folder = cache_root() / "outbox" / fingerprint(absolute_uri(uri))[:16]

    def keep(self, record: CellRecord) -> None:
        """Write a record to disk, whole or not at all; a later attempt at its cell replaces it.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        write_atomically(self._path(record), record.to_json())

    def waiting(self) -> list[CellRecord]:
        """What is kept, the earliest first.

        Raises:
            UserError: a file is damaged.
        """
        found = []
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # delivered by another process meanwhile
                found.append(CellRecord.from_json(path.read_text(encoding="utf-8"), str(path)))
        return sorted(found, key=lambda record: record.ended_ms)

    def deliver(self, ledger: "Ledger") -> list[CellOutcome]:
        """Write all that is kept to the ledger, and forget it here.

        Raises:
            StoreUnavailable: the store is still away; what is left stays.
        """
        if not self.folder.is_dir():
            return []
        with self._alone():
            return self.hand_in(ledger, self.waiting())

    def hand_in(self, ledger: "Ledger", kept: Iterable[CellRecord]) -> list[CellOutcome]:
        """Deliver these records, in this outbox or not."""
        outcomes = []
        for record in kept:
            outcomes.append(record.outcome(ledger.deliver(record, again=True)))
            self._path(record).unlink(missing_ok=True)
        return outcomes

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold this machine's other processes off."""
        with FileLock(self.folder / LOCK):
            yield

    def _path(self, record: CellRecord) -> Path:
        return self.folder / f"{record.place}.json"
