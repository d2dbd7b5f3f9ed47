"""Tune as a pool of workers that train the dispatcher's work units until nothing is left.

Each Tune trial is one worker: it lives as long as there is work, and is given one work unit after the other. (A Tune
trial per unit would starve workers: when a unit ends while another worker is still starting, Tune gives that worker's
unit to the actor that has become free, and stops the one that was starting.) Tune brings resource accounting,
autoscaling and the detection of lost nodes. What to train, what has failed and what is done is for the dispatcher to
know: nothing is ever restored from Tune's own snapshots.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher
from ray.tune.stopper import NoopStopper, Stopper
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.work_units import NO_PACKS
from dualpt.sweeps.dispatch.worker_reports import WorkerReport
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.ray_private import actor_of
from dualpt.sweeps.records import CellOutcome
from dualpt.sweeps.stores import is_outage
from dualpt.sweeps.stores.credentials import Credentials, credentials_here
from dualpt.sweeps.workers.listening import Listener
from dualpt.sweeps.workers.losses import Loss, loss_of
from dualpt.sweeps.workers.placement import machines, room_for
from dualpt.sweeps.workers.versions import OTHER_VERSIONS
from dualpt.sweeps.workers.worker import SweepWorker
from dualpt.sweeps.workers.worker_config import WorkerConfig

MOST_FAULTS = 3
"""Workers that fail in a row, outside of any pack, before the sweep is given up."""
STRANDED_SECONDS = 60.0
"""How long there may be no machine that could train before the sweep is given up: one may come back."""
MACHINES_GONE = (
    f"the machines that trained are gone, and none came within {STRANDED_SECONDS:g} s; finished cells are on record, "
    "and the same launch goes on where it stopped"
)
LOOK_SECONDS = 5.0
"""Between two looks at the machines and at the budget."""
IDLE_SECONDS = 30.0
"""How long a worker waits for work, which others may be about to bring, before it gives its resources back."""


def train_all(
    dispatcher: Dispatcher,
    config: WorkerConfig,
    resources: dict[str, float],
    *,
    outbox: Outbox,
    ledger: Ledger,
    max_concurrent: int | None = None,
    spent: Callable[[], bool] = lambda: False,
    note: Callable[[str], None] = lambda text: None,
    heard: Callable[[Sequence[WorkerReport]], None] = lambda reports: None,
    steer: Callable[[], None] = lambda: None,
) -> None:
    """Train until the dispatcher has nothing left.

    Args:
        dispatcher: knows what is missing.
        config: for the workers.
        resources: what a worker reserves: `CPU` in cores, `GPU` in devices.
        outbox: takes what workers hand over while the tracking store is away.
        ledger: the tracking store.
        max_concurrent: most workers at once; None is what the machines allow.
        spent: whether the sweep's budget is used up: then running packs finish, and no more are assigned.
        note: receives a line for each worker that is gone.
        heard: receives what workers report of the packs in training; called in another thread.
        steer: carries out what users have asked for; called again and again.

    Raises:
        UserError: no machine is or ever will be large enough, or workers cannot work.
        Exception: a store went away while the driver needed it (`is_outage`); what was in training has finished, and
            is in the outbox where it is not on record. The dispatcher has to be opened again.
    """
    room = room_for(resources, machines())
    dispatcher.workers = min(room, max_concurrent) if max_concurrent else room
    supply = WorkerSupply(dispatcher, outbox, ledger, note)
    with tempfile.TemporaryDirectory(prefix="dualpt-tune-") as folder, Listener(heard):
        # Not `Tuner`: it would pickle the dispatcher, and with it the open store, into a snapshot that nobody reads.
        tune.run(
            SweepWorker,
            name="dualpt",
            search_alg=supply,
            num_samples=-1,
            max_concurrent_trials=dispatcher.workers,
            resources_per_trial={kind.lower(): amount for kind, amount in resources.items()},
            callbacks=[_Watch(supply, partial(_equip, config, credentials_here()), resources, spent, steer)],
            stop=_StopWithoutWork(supply),
            storage_path=folder,
            trial_name_creator=_worker_name,
            trial_dirname_creator=_worker_name,
            raise_on_failed_trial=False,
            verbose=0,
        )
    if supply.error is not None:
        raise supply.error


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
                return {"number": self._number}
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


class _Watch(Callback):
    """Looks after what Tune does not tell searchers: workers that start or are gone, lost machines, and the budget."""

    def __init__(
        self,
        supply: WorkerSupply,
        equip: Callable[[TuneTrial], None],
        resources: dict[str, float],
        spent: Callable[[], bool],
        steer: Callable[[], None],
    ) -> None:
        self._supply, self._equip, self._resources, self._spent, self._steer = supply, equip, resources, spent, steer
        self._looked = self._roomy = time.monotonic()

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._equip(trial)
        self._supply.started(trial)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        path = trial.pickled_error_file
        error = cloudpickle.loads(Path(path).read_bytes()) if path else None
        self._supply.lost(trial.trial_id, loss_of(error))

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        self._supply.steer(self._steer)
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._spent():
            self._supply.dispatcher.draining = True
        try:
            room_for(self._resources, machines())
            self._roomy = now
        except UserError:
            if now - self._roomy > STRANDED_SECONDS:
                self._supply.strand(UserError(MACHINES_GONE))


class _StopWithoutWork(Stopper):
    """Passes what a worker reports to the supply, and stops the worker when there is nothing more for it to do."""

    def __init__(self, supply: WorkerSupply) -> None:
        self._supply = supply

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return not self._supply.report(trial_id, result)

    def stop_all(self) -> bool:
        return self._supply.stranded

    def __reduce__(self) -> tuple[type[Stopper], tuple[()]]:
        """Tune pickles its stopper into snapshots, which nobody reads."""
        return NoopStopper, ()


def _equip(config: WorkerConfig, credentials: Credentials, worker: TuneTrial) -> None:
    """Send a worker what it trains with; Tune lets it step after that."""
    actor_of(worker).equip.remote(config, credentials)


def _worker_name(trial: TuneTrial) -> str:
    """Tune would spell out the configuration."""
    return f"worker-{trial.config['number']:03d}"
