"""What workers are given to train, and what becomes of what they report: Tune asks for it as for a search's trials."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.work_units import NO_PACKS
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.ray_private import actor_of
from dualpt.sweeps.records import CellOutcome
from dualpt.sweeps.stores import is_outage
from dualpt.sweeps.workers.losses import Loss
from dualpt.sweeps.workers.versions import OTHER_VERSIONS

MOST_FAULTS = 3
"""Workers that fail in a row, outside of any pack, before the sweep is given up."""
IDLE_SECONDS = 30.0
"""How long a worker waits for work, which others may be about to bring, before it gives its resources back."""


class WorkerSupply(Searcher):
    """Starts workers while there is work, gives them work units, and takes in what they report.

    Tune asks a searcher for trials; here each is a worker. An error (a store that went away, workers that cannot start)
    ends the assigning, and is raised when Tune has wound down. Once a store is away the dispatcher is not asked any
    more, and what workers hand over is only kept.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        outbox: Outbox,
        ledger: Ledger,
        note: Callable[[str], None],
        give: Callable[[TuneTrial, Any], None] = lambda worker, unit: actor_of(worker).take.remote(unit),
    ) -> None:
        """
        Args:
            give: sends a work unit to a started worker.
        """
        super().__init__()
        self.dispatcher = dispatcher
        self.error: Exception | None = None
        self.stranded = False
        """Whether Tune must end at once: nothing that waits for a machine will ever start."""
        self._outbox, self._ledger, self._note, self._give = outbox, ledger, note, give
        self._starting: set[str] = set()
        """Workers that have not reported yet, by the ids of their Tune trials, as in all that follows."""
        self._started: dict[str, TuneTrial] = {}
        self._units: dict[str, int] = {}
        """The work units that workers are training."""
        self._waiting_since: dict[str, float] = {}
        self._faults = 0
        self._number = 0
        self._away = False

    def suggest(self, trial_id: str) -> Any:
        """Another worker, while more packs are ahead than workers are starting or without work."""
        if self._away or self.dispatcher.draining:
            return self._none()
        with self._guarded():
            if not self.dispatcher.has_work():
                return self._none()
            if self.dispatcher.packs_ahead > len(self._starting) + len(self._waiting_since):
                self._number += 1
                self._starting.add(trial_id)
                return {"number": self._number, "sweep": self.dispatcher.name}
            return None
        return Searcher.FINISHED

    def started(self, worker: TuneTrial) -> None:
        """Know a worker whose actor runs."""
        self._started[worker.trial_id] = worker

    def report(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take in what a worker has done, and give it more to do; returns whether there is any."""
        self._starting.discard(trial_id)
        if trial_id in self._units:
            self._faults = 0
            self._receive(self._units[trial_id], result)
            if result["left"] and not self._takes_back(trial_id):
                return True
            self._end_unit(trial_id)
        return self._assign(trial_id) or self._may_wait(trial_id)

    def _takes_back(self, trial_id: str) -> bool:
        """Whether a worker is to leave the rest of its unit; one that goes on afterwards has to forget it."""
        if self.dispatcher.draining:
            return True
        if self._away or not self.dispatcher.is_withdrawn(self._units[trial_id]):
            return False
        self._give(self._started[trial_id], NO_PACKS)
        return True

    def steer(self, carry_out: Callable[[], None]) -> None:
        """Have what users ask for carried out, between what workers report."""
        if not self._away:
            with self._guarded():
                carry_out()

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error:
            return  # `lost` follows, and knows why
        self._end_unit(trial_id)
        self._forget(trial_id)

    def lost(self, trial_id: str, loss: Loss) -> None:
        """Take back the work unit of a worker that is gone, except for cells it recorded but could not report any more.

        Settings fail inside their packs and are recorded there. What reaches this place is a machine that is gone, a
        process that died, perhaps over its pack, or a worker that cannot work at all, and then nor can the others.
        """
        unready, number = trial_id in self._starting, self._units.pop(trial_id, None)
        self._forget(trial_id)
        self._note(
            f"[yellow]{escape(str(loss))}[/]" + (": what it had in training is assigned again" if number else "")
        )
        if self._away:
            return
        with self._guarded():
            self._deliver(())
            if number is not None:
                self.dispatcher.recover(number)
                self.dispatcher.end_unit(number, died=loss.died)
            fault = loss.fault or ("its process died while it started" if loss.died and unready else None)
            self._faults += fault is not None
            if fault is not None and (self._faults >= MOST_FAULTS or OTHER_VERSIONS in fault):
                raise UserError(f"workers cannot train: {fault}")

    def strand(self, error: Exception) -> None:
        """Give the sweep up: nothing that waits for a machine will start."""
        self.stranded = True
        with self._guarded():
            raise error

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger and the study hold the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a resumed sweep is a new launch."""

    def _none(self) -> str | None:
        """No worker: none is needed for now, or none any more."""
        return Searcher.FINISHED if self.dispatcher.idle or self._away else None

    def _assign(self, trial_id: str) -> bool:
        """Give a worker its next work unit, if there is one."""
        if self._away:
            return False
        with self._guarded():
            unit = self.dispatcher.assign()
            if unit is not None:
                self._units[trial_id] = unit.number
                self._waiting_since.pop(trial_id, None)
                self._give(self._started[trial_id], unit)
                return True
        return False

    def _may_wait(self, trial_id: str) -> bool:
        """Whether a worker without work is kept: other workers' results may bring some soon."""
        if self._away or self.dispatcher.draining or self.dispatcher.idle:
            return False
        now = time.monotonic()
        return now - self._waiting_since.setdefault(trial_id, now) < IDLE_SECONDS

    def _end_unit(self, trial_id: str) -> None:
        number = self._units.pop(trial_id, None)
        if number is not None and not self._away:
            with self._guarded():
                self.dispatcher.end_unit(number)

    def _forget(self, trial_id: str) -> None:
        self._starting.discard(trial_id)
        self._started.pop(trial_id, None)
        self._waiting_since.pop(trial_id, None)

    def _receive(self, number: int, result: dict[str, Any]) -> None:
        kept: Sequence[CellRecord] = result["kept"]
        for record in kept:
            with self._guarded():
                self._outbox.keep(record)
        if self._away:
            return
        with self._guarded():
            self.dispatcher.receive(number, [*result["outcomes"], *self._deliver(kept)])

    def _deliver(self, kept: Sequence[CellRecord]) -> list[CellOutcome]:
        """Deliver what waits on this machine, and these records, whichever process has them in hand."""
        delivered = {outcome.key: outcome for outcome in self._outbox.deliver(self._ledger)}
        elsewhere = self._outbox.hand_in(self._ledger, [record for record in kept if record.key not in delivered])
        return [delivered[record.key] for record in kept if record.key in delivered] + elsewhere

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let the first error end the assigning."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            self._away = self._away or is_outage(error)
            self.dispatcher.draining = True
