"""Tune's actors train what the dealer deals until nothing is left.

Tune brings resource accounting, actor reuse, autoscaling and recovery of lost nodes. What to run, what has failed and
what is done is the dealer's to know: nothing is ever restored from Tune's own snapshots.
"""

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.search import Searcher
from ray.tune.stopper import NoopStopper, Stopper

from core.errors import UserError
from search_spaces.sweep_file import Run
from sweeps.dealer import Dealer
from sweeps.trial import GridTrial, Workplace

MOST_FAULTS = 3
"""Workers that fail in a row, outside of any pack, before the sweep is given up."""
AUTO_GPU_SHARE = 0.25
"""Of a GPU, for `gpus_per_trial: auto`: a tiny set of contexts trains on cached features."""


def train_all(dealer: Dealer, workplace: Workplace, run: Run) -> bool:
    """Train until the dealer has nothing left.

    The first Ctrl-C (or SIGTERM, as batch systems send it) lets running packs finish and deals nothing more; the
    second aborts them.

    Returns:
        Whether it was interrupted.
    """
    resources = _resources(run)
    dealer.workers = run.max_concurrent or _room_for(resources)
    dealer.fit_packs(on_gpu="gpu" in resources)
    searcher = DealtSearcher(dealer, workplace)
    with tempfile.TemporaryDirectory(prefix="dualpt-tune-") as folder, _draining_on_interrupt(dealer) as interrupts:
        # Not `Tuner`: it would pickle the dealer, and with it the open store, into a snapshot that nobody reads.
        tune.run(
            GridTrial,
            name="shards",
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=dealer.workers,
            resources_per_trial=resources,
            reuse_actors=True,
            callbacks=[_Losses(searcher)],
            stop=_Draining(dealer),
            storage_path=folder,
            trial_name_creator=_shard_name,
            trial_dirname_creator=_shard_name,
            raise_on_failed_trial=False,
            verbose=0,
        )
    if searcher.error is not None:
        raise searcher.error
    return bool(interrupts)


class DealtSearcher(Searcher):
    """What Tune asks for trials: each is a shard of the dealer's.

    An error (a store that went away, workers that cannot start) ends the dealing, and is raised when Tune has wound
    down.
    """

    def __init__(self, dealer: Dealer, workplace: Workplace) -> None:
        super().__init__()
        self.error: Exception | None = None
        self._dealer, self._workplace = dealer, workplace
        self._shards: dict[str, int] = {}
        self._faults = 0

    def suggest(self, trial_id: str) -> Any:
        with self._guarded():
            shard = self._dealer.deal()
            if shard is not None:
                self._shards[trial_id] = shard.number
                return {"shard": shard, "workplace": self._workplace}
        return Searcher.FINISHED if self._dealer.idle else None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._faults = 0
        with self._guarded():
            self._dealer.book(self._shards[trial_id], result["outcomes"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error:
            return  # `lost` follows, and knows why
        self._faults = 0
        with self._guarded():
            number = self._shards.pop(trial_id)
            self._dealer.book(number, (result or {}).get("outcomes", ()))
            self._dealer.take_back(number)

    def lost(self, trial_id: str, error: Exception | None) -> None:
        """Take back the shard of a worker that is gone.

        Settings fail inside their packs and are recorded there. What reaches this place is either a process that died,
        perhaps over its pack, or a worker that cannot work at all, and then nor can the others.
        """
        with self._guarded():
            fault = _fault(error)
            self._dealer.take_back(self._shards.pop(trial_id), died=fault is None)
            self._faults += fault is not None
            if self._faults >= MOST_FAULTS:
                raise UserError(f"workers cannot train: {fault}")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger and the study hold the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a resumed sweep is a new launch."""

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            self._dealer.draining = True


class _Losses(Callback):
    """Tells the searcher why a worker is gone; Tune tells searchers only that it is."""

    def __init__(self, searcher: DealtSearcher) -> None:
        self._searcher = searcher

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        path = trial.pickled_error_file
        error = cloudpickle.loads(Path(path).read_bytes()) if path else None
        self._searcher.lost(trial.trial_id, error)


def _fault(error: Exception | None) -> str | None:
    """The exception that a worker raised, in one line; None where its process died."""
    if isinstance(error, RayTaskError) or (isinstance(error, RayActorError) and error.actor_init_failed):
        return str(error).strip().splitlines()[-1].strip()
    return None


class _Draining(Stopper):
    """Ends each shard after its current pack once the dealer drains."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer = dealer

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._dealer.draining

    def stop_all(self) -> bool:
        return False

    def __reduce__(self) -> tuple[type[Stopper], tuple[()]]:
        """Tune pickles its stopper into snapshots, which nobody reads."""
        return NoopStopper, ()


@contextlib.contextmanager
def _draining_on_interrupt(dealer: Dealer) -> Iterator[list[int]]:
    """Make the first signal drain and the second abort; yields the list of those that came."""
    interrupts: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def on_interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        if len(interrupts) > 1:
            raise KeyboardInterrupt
        dealer.drain()

    before = {number: signal.signal(number, on_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _resources(run: Run) -> dict[str, float]:
    gpus = run.gpus_per_trial
    if gpus == "auto":
        gpus = AUTO_GPU_SHARE if _cluster().get("GPU", 0) else 0
    return {"cpu": run.cpus_per_trial, "gpu": gpus} if gpus else {"cpu": run.cpus_per_trial}


def _cluster() -> dict[str, float]:
    """What Ray has, by kind: `CPU` in cores, `GPU` in devices."""
    return ray.cluster_resources()  # type: ignore[no-untyped-call,no-any-return]


def _room_for(resources: dict[str, float]) -> int:
    """How many trials fit into the cluster at once.

    Raises:
        UserError: not even one does.
    """
    there = _cluster()
    room = min(int(there.get(kind.upper(), 0) / amount + 1e-9) for kind, amount in resources.items())
    if room < 1:
        asked = ", ".join(f"{amount:g} {kind.upper()}" for kind, amount in resources.items())
        has = ", ".join(f"{there.get(kind.upper(), 0):g} {kind.upper()}" for kind in resources)
        raise UserError(
            f"run: a trial asks for {asked}, and Ray has {has}; lower run.cpus_per_trial or run.gpus_per_trial"
        )
    return room


def _shard_name(trial: Any) -> str:
    """Trials are named after what they hold; Tune would spell out the whole configuration."""
    shard = trial.config["shard"]
    return f"{shard.number:05d}-{shard.trial.name}"
