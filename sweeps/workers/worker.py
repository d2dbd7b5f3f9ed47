"""What a worker does: train the packs of its work unit, one per step, and record each cell before the next pack begins.

A setting that fails takes only its own cells with it: they are recorded as FAILED with the reason, and the next pack
begins.
"""

import contextlib
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import cloudpickle, tune

from dualpt.core.errors import StorageError, UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root
from dualpt.sweeps.dispatch.work_units import Pack, WorkUnit, smaller_packs
from dualpt.sweeps.ledger import attempts
from dualpt.sweeps.ledger.attempts import CellRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.records import CellOutcome, KeyedCell
from dualpt.sweeps.stores import StoreUnavailable
from dualpt.sweeps.stores.credentials import Credentials, adopt
from dualpt.sweeps.workers.gpu_state import hide_unreserved_gpus
from dualpt.sweeps.workers.listening import send_note
from dualpt.sweeps.workers.reporting import UNWATCHED, LiveReporter, Reporter
from dualpt.sweeps.workers.worker_config import WorkerConfig

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellRunner

WAIT_SECONDS = 0.2
"""How long a step without work takes."""


@dataclass(frozen=True)
class _Failure:
    """Why a pack failed, without the error itself: it would hold the pack's tensors."""

    reason: str
    details: str
    retry: bool


@dataclass(frozen=True)
class PackEnd:
    """What became of a pack's cells."""

    outcomes: tuple[CellOutcome, ...]
    """Of the cells on record."""
    kept: tuple[CellRecord, ...]
    """Records that the tracking store did not take, or whose artifacts it refused; the outbox has them too."""


class SweepWorker(tune.Trainable):
    """Trains one work unit after the other, so models load once per process and not once per unit.

    What it trains with (`equip`) and its work units (`take`) are sent to it. Each step trains one pack and
    reports `outcomes`, all cells of the unit so far, `kept`, the records of this step that the store did not take, and
    `left`, how many packs of the unit are left. A step without a unit waits a moment for one.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take number and sweep's name. Tune writes copies of `config` to disk, so nothing secret belongs there."""
        self._number = int(config.get("number", 0))
        self._sweep = str(config.get("sweep", ""))
        self._equipment: bytes | None = None
        self._reporter: Reporter = UNWATCHED
        self._packs: deque[Pack] = deque()
        self._outcomes: list[CellOutcome] = []

    def __repr__(self) -> str:
        """What Ray asks for once, after `setup`, and puts before each line that the worker prints."""
        job = f" job {ray.get_runtime_context().get_job_id()}" if ray.is_initialized() else ""
        return f"{self._sweep}/worker-{self._number}{job}"

    def equip(self, equipment: bytes) -> None:
        """Say what to train with, before the first step, which reads and prepares it: nobody awaits this call.

        `tune.with_parameters` would do this through Ray's object store. As soon as that holds anything of the driver's,
        Ray's client ends the driver, with exit code 1 and no word, when the machine's raylet dies.

        Args:
            equipment: pickled, so that what cannot be read here fails the step: a `WorkerConfig`, in which the address
                of the tracking store may hold a password, and the driver's `Credentials` for the stores.
        """
        self._equipment = equipment

    def _prepare(self, worker: WorkerConfig, credentials: Credentials) -> None:
        adopt(credentials)
        worker.check_here()
        if ray.is_initialized():
            hide_unreserved_gpus(ray.get_gpu_ids())
        self._runner = worker.runner()
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(worker.threads)
        self._ledger = Ledger(worker.tracking_uri, create=False, patience=worker.patience)
        self._outbox = Outbox(worker.tracking_uri)
        with contextlib.suppress(UserError):  # then it stays kept, and so does what this worker cannot record itself
            self._outbox.deliver(self._ledger)
        curves = Ledger(worker.tracking_uri, create=False)
        note = partial(send_note, self._number)
        self._reporter = LiveReporter(self._number, note, curves.add_points, worker.system_metrics)
        self._reporter.start()

    def cleanup(self) -> None:
        self._reporter.close()

    def take(self, unit: WorkUnit) -> None:
        """Train this work unit next; the one before it is finished."""
        self._packs = deque(unit.packs)
        self._outcomes = []

    def step(self) -> dict[str, Any]:
        kept: tuple[CellRecord, ...] = ()
        if self._equipment is not None:
            self._prepare(*cloudpickle.loads(self._equipment))
            self._equipment = None
        if self._packs:
            pack = self._packs.popleft()
            end = train_pack(self._runner, self._ledger, pack, self._outbox, reporter=self._reporter)
            self._outcomes += end.outcomes
            kept = end.kept
        else:
            self._reporter.idle()
            time.sleep(WAIT_SECONDS)
        return {"outcomes": tuple(self._outcomes), "kept": kept, "left": len(self._packs)}


def train_pack(
    runner: "CellRunner",
    ledger: Ledger,
    pack: Pack,
    outbox: Outbox | None = None,
    *,
    again: bool = True,
    reporter: Reporter = UNWATCHED,
) -> PackEnd:
    """Train a pack and record its cells, whatever happens to it.

    A pack that fails as a whole is tried once more in parts: only the guilty setting fails then, and less memory is
    needed. The pack's checkpoint is named after its cells' keys, so a later launch finds it, and is removed when the
    cells are on record.

    Args:
        outbox: takes the cells that the tracking store does not take; without one they are lost with the error.
        again: whether a failure is tried again in parts.
        reporter: says what is trained while it is.

    Raises:
        StorageError: features that the pack needs can't be written.
    """
    checkpoint = checkpoint_of(pack)
    started = time.monotonic()
    failure = None
    try:
        results = runner.run([keyed.cell for keyed in pack], reporter.training(pack), checkpoint)
    except StorageError:
        raise  # no fault of the setting: nothing is recorded, and the pool gives the sweep up where none can work
    except Exception as error:
        failure = _Failure(_reason(error), "".join(traceback.format_exception(error)), _worth_retrying(pack, error))
    share = (time.monotonic() - started) / len(pack)
    if failure is None:
        written = [
            attempts.trained(keyed.trial, keyed, result, share) for keyed, result in zip(pack, results, strict=True)
        ]
        end = _deliver(ledger, written, outbox)
    elif again and failure.retry and (parts := smaller_packs(pack)):
        _remove(checkpoint)  # none of the parts continues from it; a kill among them would leave it for good
        _free_memory()
        ends = [train_pack(runner, ledger, part, outbox, again=False, reporter=reporter) for part in parts]
        end = PackEnd(tuple(o for one in ends for o in one.outcomes), tuple(r for one in ends for r in one.kept))
    else:
        written = [attempts.failed(keyed.trial, keyed, failure.reason, share, failure.details) for keyed in pack]
        end = _deliver(ledger, written, outbox)
    _remove(checkpoint)
    return end


def _remove(checkpoint: Path) -> None:
    with contextlib.suppress(OSError):  # a cell that is recorded does not fail over it
        checkpoint.unlink(missing_ok=True)


def _worth_retrying(pack: Pack, error: Exception) -> bool:
    """A fault of the input is the same for every cell of a setting; anything else may pass in a smaller pack."""
    return not isinstance(error, UserError) or len({keyed.trial for keyed in pack}) > 1


def _free_memory() -> None:
    """Release what a failed pack has left in the accelerator's pool; its tensors died with the error."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _deliver(ledger: Ledger, written: Iterable[CellRecord], outbox: Outbox | None) -> PackEnd:
    """Write records to the ledger. What it does not take, for whatever reason, goes to the outbox and is not lost.

    From the first that finds the store away, all go there: each would wait again. A cell whose artifacts alone are
    refused has its outcome, and goes there too.
    """
    outcomes: list[CellOutcome] = []
    kept: list[CellRecord] = []
    away = False
    for record in written:
        delivery = None
        if not away:
            try:
                delivery = ledger.deliver(record)
            except Exception as error:
                if outbox is None:
                    raise
                away = isinstance(error, StoreUnavailable)
            else:
                outcomes.append(record.outcome(delivery.run_id))
                if delivery.artifacts_wait is None:
                    continue
        if outbox is None:
            raise UserError(f"{delivery.artifacts_wait if delivery else 'the tracking store is away'}")
        with contextlib.suppress(UserError):  # a full disk; the driver gets the record in any case
            outbox.keep(record) if delivery is None else outbox.settle(record, delivery)
        kept.append(record)
    return PackEnd(tuple(outcomes), tuple(kept))


def checkpoint_of(pack: Sequence[KeyedCell]) -> Path:
    """Where a pack's training state is kept while it trains."""
    return cache_root() / "checkpoints" / f"{fingerprint([keyed.key for keyed in pack])[:32]}.safetensors"


def _reason(error: Exception) -> str:
    """One line: the text of a `UserError`, anything else with its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
