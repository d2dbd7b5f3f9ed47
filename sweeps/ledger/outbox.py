"""Results kept as files while they cannot be recorded, one per cell, and delivered when they can.

A worker keeps what it cannot deliver, for whatever reason, in the outbox of its machine and hands the same record to
the driver with its next report; the driver keeps it in its own and delivers it. Whoever comes first writes it: a record
that is in the ledger already is taken out of an outbox and not written again. A launch delivers its machine's outbox
before it asks the ledger what is missing, and a worker process its machine's before it trains.

What belongs to a sweep that was deleted waits for it to be restored, and holds up no other.

A cell whose numbers are on record while the artifact store refuses its files waits in a folder beside: those are tried
again at the beginning and the end of a launch, and not with every cell.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root, holding, write_atomically
from dualpt.sweeps.console import counted
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.records import CellOutcome
from dualpt.sweeps.stores import StoreUnavailable, absolute_uri

if TYPE_CHECKING:
    from dualpt.sweeps.ledger.mlflow import Delivery, Ledger

logger = logging.getLogger(__name__)

LOCK = ".lock"
ARTIFACTS = "artifacts"
"""Folder of the records whose files alone are missing."""


class Outbox:
    """The outbox of one tracking store on this machine."""

    def __init__(self, uri: str) -> None:
        self.folder = cache_root() / "outbox" / fingerprint(absolute_uri(uri))[:16]
        self._deleted: set[str] = set()
        """Experiments that were found deleted."""

    def keep(self, record: CellRecord) -> None:
        """Write a record to disk, whole or not at all; a later attempt at its cell replaces it.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        write_atomically(self._path(record), record.to_json())

    def waiting(self) -> list[CellRecord]:
        """The results that are kept, the earliest first.

        Raises:
            UserError: a file is damaged.
        """
        return _read(self.folder)

    def waiting_artifacts(self) -> list[CellRecord]:
        """The records whose numbers are in the ledger and whose files are not, the earliest first.

        Raises:
            UserError: a file is damaged.
        """
        return _read(self.folder / ARTIFACTS)

    def deliver(self, ledger: "Ledger") -> list[CellOutcome]:
        """Write all results that are kept to the ledger, and forget them here.

        Raises:
            StoreUnavailable: the store is still away; what is left stays.
            UserError: the store refuses some; all others are delivered, and what is left stays.
        """
        if not self.folder.is_dir():
            return []
        with self._alone():
            return self.hand_in(ledger, self.waiting())

    def hand_in(self, ledger: "Ledger", kept: Iterable[CellRecord]) -> list[CellOutcome]:
        """Deliver these records, in this outbox or not.

        Raises:
            StoreUnavailable: the store is away.
            UserError: it refuses some, which are in this outbox then; all others are delivered.
        """
        outcomes: list[CellOutcome] = []
        refusal: Exception | None = None
        refused = 0
        for record in kept:
            try:
                if self._waits_for_its_sweep(ledger, record):
                    self.keep(record)
                    continue
                delivery = ledger.deliver(record, again=True)
            except StoreUnavailable:
                raise
            except Exception as error:  # of whatever kind: it does not hold up the others
                refusal, refused = error, refused + 1
                self.keep(record)
                continue
            outcomes.append(record.outcome(delivery.run_id))
            self.settle(record, delivery)
        if refusal is not None:
            reason = " ".join(str(refusal).split())
            said = reason if isinstance(refusal, UserError) else f"{type(refusal).__name__}: {reason}"
            remark = f"no training is lost: {self.folder} keeps {counted(refused, 'result')}"
            raise UserError(f"{said} ({remark})") from refusal
        return outcomes

    def deliver_artifacts(self, ledger: "Ledger") -> tuple[int, str | None]:
        """Write the artifacts that wait, until the first that is refused.

        Returns:
            How many still wait, and why; None where none does.

        Raises:
            StoreUnavailable: the tracking store is away.
            UserError: it refuses.
        """
        if not (self.folder / ARTIFACTS).is_dir():
            return 0, None
        with self._alone():
            left = self.waiting_artifacts()
            for done, record in enumerate(left):
                if self._waits_for_its_sweep(ledger, record):
                    continue
                delivery = ledger.deliver(record, again=True)
                if delivery.artifacts_wait is not None:
                    return len(left) - done, delivery.artifacts_wait
                self._artifacts_path(record).unlink(missing_ok=True)
        return 0, None

    def _waits_for_its_sweep(self, ledger: "Ledger", record: CellRecord) -> bool:
        """Whether the sweep of a record was deleted; reported once."""
        experiment = record.experiment_id
        if not ledger.is_deleted(experiment):
            return False
        if experiment not in self._deleted:
            self._deleted.add(experiment)
            logger.warning(
                "results of a deleted sweep wait in %s: after `mlflow experiments restore --experiment-id %s` the next "
                "launch delivers them; or delete the files that name it",
                self.folder,
                experiment,
            )
        return True

    def settle(self, record: CellRecord, delivery: "Delivery") -> None:
        """Forget a record that the ledger has; where its artifacts are refused, only its result is forgotten.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        if delivery.artifacts_wait is not None:
            write_atomically(self._artifacts_path(record), record.to_json())
        with contextlib.suppress(OSError):  # delivered once more by a later launch, it is not written twice
            self._path(record).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold this machine's other processes off."""
        with holding(self.folder / LOCK):
            yield

    def _path(self, record: CellRecord) -> Path:
        return self.folder / f"{record.place}.json"

    def _artifacts_path(self, record: CellRecord) -> Path:
        return self.folder / ARTIFACTS / f"{record.place}.json"


def _read(folder: Path) -> list[CellRecord]:
    found = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # delivered by another process meanwhile
            found.append(CellRecord.from_json(path.read_bytes(), str(path)))
    return sorted(found, key=lambda record: record.ended_ms)
