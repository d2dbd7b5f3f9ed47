"""Tune's actors train what the dealer deals until nothing is left.

Tune brings resource accounting, actor reuse, autoscaling and recovery of lost nodes. What to run, what has failed and
what is done is the dealer's to know: nothing is ever restored from Tune's own snapshots.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError, RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.search import Searcher
from ray.tune.stopper import NoopStopper, Stopper
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.sweeps.dispatch.dealer import Dealer
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.names import file_name
from dualpt.sweeps.records import CellOutcome
from dualpt.sweeps.stores import is_outage
from dualpt.sweeps.workers.placement import machines, room_for
from dualpt.sweeps.workers.versions import OTHER_VERSIONS
from dualpt.sweeps.workers.worker import GridTrial, Workplace

MOST_FAULTS = 3
"""Workers that fail in a row, outside of any pack, before the sweep is given up."""
STRANDED_SECONDS = 60.0
"""How long there may be no machine that could train before the sweep is given up: one may come back."""
LOOK_SECONDS = 5.0
"""Between two looks at the machines and at the budget."""


def train_all(
    dealer: Dealer,
    workplace: Workplace,
    resources: dict[str, float],
    *,
    outbox: Outbox,
    ledger: Ledger,
    max_concurrent: int | None = None,
    spent: Callable[[], bool] = lambda: False,
    note: Callable[[str], None] = lambda text: None,
) -> None:
    """Train until the dealer has nothing left.

    Args:
        dealer: knows what is missing.
        workplace: for the workers.
        resources: what a trial reserves: `CPU` in cores, `GPU` in devices.
        outbox: takes what workers hand over while the tracking store is away.
        ledger: the tracking store.
        max_concurrent: most trials at once; None is what the machines allow.
        spent: whether the sweep's budget is used up: then running packs finish, and no more are dealt.
        note: told of workers that are gone.

    Raises:
        UserError: no machine is or ever will be large enough, or workers cannot work.
        Exception: a store went away while the driver needed it (`is_outage`); what was in training has finished, and
            is in the outbox where it is not on record. The dealer is to be opened anew.
    """
    room = room_for(resources, machines())
    dealer.workers = min(room, max_concurrent) if max_concurrent else room
    searcher = DealtSearcher(dealer, workplace, outbox, ledger, note)
    with tempfile.TemporaryDirectory(prefix="dualpt-tune-") as folder:
        # Not `Tuner`: it would pickle the dealer, and with it the open store, into a snapshot that nobody reads.
        tune.run(
            GridTrial,
            name="shards",
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=dealer.workers,
            resources_per_trial={kind.lower(): amount for kind, amount in resources.items()},
            reuse_actors=True,
            callbacks=[_Overseer(searcher, resources, spent)],
            stop=_Draining(searcher),
            storage_path=folder,
            trial_name_creator=shard_name,
            trial_dirname_creator=shard_name,
            raise_on_failed_trial=False,
            verbose=0,
        )
    if searcher.error is not None:
        raise searcher.error


class DealtSearcher(Searcher):
    """What Tune asks for trials: each is a shard of the dealer's.

    An error (a store that went away, workers that cannot start) ends the dealing, and is raised when Tune has wound
    down. Once a store is away the dealer is not asked any more, and what workers hand over is only kept.
    """

    def __init__(
        self, dealer: Dealer, workplace: Workplace, outbox: Outbox, ledger: Ledger, note: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.dealer = dealer
        self.error: Exception | None = None
        self.stranded = False
        """Whether Tune must end at once: nothing that waits for a machine will ever start."""
        self._workplace, self._outbox, self._ledger, self._note = workplace, outbox, ledger, note
        self._shards: dict[str, int] = {}
        self._faults = 0
        self._away = False

    def suggest(self, trial_id: str) -> Any:
        if self._away:
            return Searcher.FINISHED
        with self._guarded():
            shard = self.dealer.deal()
            if shard is not None:
                self._shards[trial_id] = shard.number
                return {"shard": shard, "workplace": self._workplace}
        return Searcher.FINISHED if self.dealer.idle else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._faults = 0
        self._book(self._shards[trial_id], result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error:
            return  # `lost` follows, and knows why
        self._faults = 0
        number = self._shards.pop(trial_id)
        self._book(number, result or {})
        if not self._away:
            with self._guarded():
                self.dealer.take_back(number)

    def lost(self, trial_id: str, error: Exception | None) -> None:
        """Take back the shard of a worker that is gone, but for the cells it recorded and could not report any more.

        Settings fail inside their packs and are recorded there. What reaches this place is a machine that is gone, a
        process that died, perhaps over its pack, or a worker that cannot work at all, and then nor can the others.
        """
        number, fault = self._shards.pop(trial_id), _fault(error)
        died = fault is None and not _machine_lost(error)
        gone = f"a worker cannot work ({fault})" if fault else f"a {'worker process' if died else 'machine'} is gone"
        self._note(f"[yellow]{escape(gone)}[/]: what it had in training is dealt again")
        if self._away:
            return
        with self._guarded():
            self._deliver(())
            self.dealer.recover(number)
            self.dealer.take_back(number, died=died)
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

    def _book(self, number: int, result: dict[str, Any]) -> None:
        kept: Sequence[CellRecord] = result.get("kept", ())
        for record in kept:
            self._outbox.keep(record)
        if self._away:
            return
        with self._guarded():
            self.dealer.book(number, [*result.get("outcomes", ()), *self._deliver(kept)])

    def _deliver(self, kept: Sequence[CellRecord]) -> list[CellOutcome]:
        """Deliver what waits on this machine, and these records, whichever process has them in hand."""
        delivered = {outcome.key: outcome for outcome in self._outbox.deliver(self._ledger)}
        elsewhere = self._outbox.hand_in(self._ledger, [record for record in kept if record.key not in delivered])
        return [delivered[record.key] for record in kept if record.key in delivered] + elsewhere

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let the first error end the dealing."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            self._away = is_outage(error)
            self.dealer.draining = True


class _Overseer(Callback):
    """Looks after what Tune does not tell searchers: why a worker is gone, lost machines, and the budget."""

    def __init__(self, searcher: DealtSearcher, resources: dict[str, float], spent: Callable[[], bool]) -> None:
        self._searcher, self._resources, self._spent = searcher, resources, spent
        self._looked = self._roomy = time.monotonic()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        path = trial.pickled_error_file
        error = cloudpickle.loads(Path(path).read_bytes()) if path else None
        self._searcher.lost(trial.trial_id, error)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if self._spent():
            self._searcher.dealer.draining = True
        try:
            room_for(self._resources, machines())
            self._roomy = now
        except UserError as error:
            if now - self._roomy > STRANDED_SECONDS:
                self._searcher.strand(UserError(f"the machines that trained are gone: {error}"))


def _fault(error: Exception | None) -> str | None:
    """The exception that a worker raised, in one line; None where its process died."""
    if isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed):
        return str(error).strip().splitlines()[-1].strip().removeprefix(f"{UserError.__module__}.UserError: ")
    return None


def _machine_lost(error: Exception | None) -> bool:
    """Whether a worker is gone with its machine (spot nodes are taken back at any time), and not by its own death.

    A machine that has just gone is only known to be out of reach.
    """
    if isinstance(error, ActorUnavailableError | NodeDiedError):
        return True
    return isinstance(error, RayActorError) and (error.preempted or "node has died" in str(error))


class _Draining(Stopper):
    """Ends each shard after its current pack once the dealer drains."""

    def __init__(self, searcher: DealtSearcher) -> None:
        self._searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._searcher.dealer.draining

    def stop_all(self) -> bool:
        return self._searcher.stranded

    def __reduce__(self) -> tuple[type[Stopper], tuple[()]]:
        """Tune pickles its stopper into snapshots, which nobody reads."""
        return NoopStopper, ()


def shard_name(trial: Any) -> str:
    """Trials are named after what they hold; Tune would spell out the whole configuration."""
    shard = trial.config["shard"]
    return f"{shard.number:05d}-{file_name(shard.trial.name)}"
