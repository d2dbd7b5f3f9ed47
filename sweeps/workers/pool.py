"""Tune as a pool of workers that train the dispatcher's work units until nothing is left.

Each Tune trial is one worker: it lives as long as there is work, and is given one work unit after the other. (A Tune
trial per unit would starve workers: when a unit ends while another worker is still starting, Tune gives that worker's
unit to the actor that has become free, and stops the one that was starting.) Tune brings resource accounting,
autoscaling and the detection of lost nodes. What to train, what has failed and what is done is for the dispatcher to
know: nothing is ever restored from Tune's own snapshots.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.stopper import NoopStopper, Stopper

from dualpt.core.errors import UserError
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.worker_reports import WorkerReport
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.ray_private import actor_of
from dualpt.sweeps.stores.credentials import credentials_here
from dualpt.sweeps.workers.listening import Listener
from dualpt.sweeps.workers.losses import loss_of
from dualpt.sweeps.workers.placement import machines, room_for
from dualpt.sweeps.workers.supply import WorkerSupply
from dualpt.sweeps.workers.worker import SweepWorker
from dualpt.sweeps.workers.worker_config import WorkerConfig

STRANDED_SECONDS = 60.0
"""How long there may be no machine that could train before the sweep is given up: one may come back."""
MACHINES_GONE = (
    f"the machines that trained are gone, and none came within {STRANDED_SECONDS:g} s; finished cells are on record, "
    "and the same launch goes on where it stopped"
)
LOOK_SECONDS = 5.0
"""Between two looks at the machines and at the budget."""


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
    equipment: bytes = cloudpickle.dumps((config, credentials_here()))  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="dualpt-tune-") as folder, Listener(heard):
        # Not `Tuner`: it would pickle the dispatcher, and with it the open store, into a snapshot that nobody reads.
        tune.run(
            SweepWorker,
            name="dualpt",
            search_alg=supply,
            num_samples=-1,
            max_concurrent_trials=dispatcher.workers,
            resources_per_trial={kind.lower(): amount for kind, amount in resources.items()},
            callbacks=[_Watch(supply, partial(_equip, equipment), resources, spent, steer)],
            stop=_StopWithoutWork(supply),
            storage_path=folder,
            trial_name_creator=_worker_name,
            trial_dirname_creator=_worker_name,
            raise_on_failed_trial=False,
            verbose=0,
        )
    if supply.error is not None:
        raise supply.error


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


def _equip(equipment: bytes, worker: TuneTrial) -> None:
    """Send a worker what it trains with; Tune lets it step after that."""
    actor_of(worker).equip.remote(equipment)


def _worker_name(trial: TuneTrial) -> str:
    """Tune would spell out the configuration."""
    return f"worker-{trial.config['number']:03d}"
