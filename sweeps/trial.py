"""What a worker does: train the packs of a shard, one a step, and record every cell before the next begins.

A setting that fails takes only its own cells with it: they are recorded as FAILED with the reason, and the next pack
begins.
"""

import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from core.errors import UserError
from core.fingerprint import fingerprint
from core.locations import cache_root
from sweeps.records import KeyedCell
from sweeps.shards import SELECTION, CellOutcome, Pack, Shard, smaller_packs
from sweeps.tracking import Ledger

if TYPE_CHECKING:
    from core.cell import Bench, CellResult


@dataclass(frozen=True)
class Workplace:
    """What a worker process needs to know once."""

    bench: "Callable[[], Bench]"
    """Makes the process's bench."""
    tracking_uri: str
    threads: int
    """CPU threads that torch may use."""


@dataclass(frozen=True)
class _Failure:
    """Why a pack failed, without the error itself: it would hold the pack's tensors."""

    reason: str
    details: str
    retry: bool


class GridTrial(tune.Trainable):
    """Trains shards. One actor serves many of them, so that models load once per process and not once per trial.

    Its configuration holds a `workplace` (`Workplace`) and a `shard` (`Shard`). Each step trains one pack and reports
    `outcomes`: all cells of the shard so far.
    """

    def setup(self, config: dict[str, Any]) -> None:
        workplace: Workplace = config["workplace"]
        self._bench = workplace.bench()
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(workplace.threads)
        self._ledger = Ledger(workplace.tracking_uri, create=False)
        self._begin(config["shard"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config["shard"])
        return True

    def step(self) -> dict[str, Any]:
        self._outcomes += train_pack(self._bench, self._ledger, self._packs.popleft())
        return {"outcomes": tuple(self._outcomes), "done": not self._packs}

    def _begin(self, shard: Shard) -> None:
        self._packs = deque(shard.packs)
        self._outcomes: list[CellOutcome] = []


def train_pack(bench: "Bench", ledger: Ledger, pack: Pack, *, again: bool = True) -> list[CellOutcome]:
    """Train a pack and record its cells, whatever happens to it.

    A pack that fails as a whole is tried once more in parts, so that only the guilty setting fails, or so that less
    memory is needed. The pack's checkpoint is named after its cells' keys, so that a later launch finds it, and is
    removed when the cells are on record.

    Args:
        again: whether a failure is tried again in parts.
    """
    checkpoint = checkpoint_of(pack)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    failure = None
    try:
        results = bench.run([dealt.cell for dealt in pack], checkpoint=checkpoint)
    except Exception as error:
        failure = _Failure(_reason(error), "".join(traceback.format_exception(error)), _worth_retrying(pack, error))
    seconds = time.monotonic() - started
    checkpoint.unlink(missing_ok=True)
    if failure is None:
        return _record(ledger, pack, results, seconds)
    if again and failure.retry and (parts := smaller_packs(pack)):
        _free_memory()
        return [outcome for part in parts for outcome in train_pack(bench, ledger, part, again=False)]
    return _record_failure(ledger, pack, failure, seconds)


def _worth_retrying(pack: Pack, error: Exception) -> bool:
    """A fault of the input is the same for every cell of a setting; anything else may pass in a smaller pack."""
    return not isinstance(error, UserError) or len({dealt.trial for dealt in pack}) > 1


def _free_memory() -> None:
    """Give back what a failed pack has left in the accelerator's pool; its tensors died with the error."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def checkpoint_of(pack: Sequence[KeyedCell]) -> Path:
    """Where a pack's training state is kept while it trains."""
    return cache_root() / "checkpoints" / f"{fingerprint([keyed.key for keyed in pack])[:32]}.safetensors"


def _record(ledger: Ledger, pack: Pack, results: "Sequence[CellResult]", seconds: float) -> list[CellOutcome]:
    share = seconds / len(pack)
    outcomes = []
    for dealt, result in zip(pack, results, strict=True):
        run_id = ledger.record(dealt.trial, dealt, result, share)
        selection = result.metrics.by_name().get(SELECTION)
        outcomes.append(CellOutcome(dealt.key, run_id, selection, result.failure))
    return outcomes


def _record_failure(ledger: Ledger, pack: Pack, failure: _Failure, seconds: float) -> list[CellOutcome]:
    outcomes = []
    for dealt in pack:
        run_id = ledger.record_failure(dealt.trial, dealt, failure.reason, seconds / len(pack), failure.details)
        outcomes.append(CellOutcome(dealt.key, run_id, None, failure.reason))
    return outcomes


def _reason(error: Exception) -> str:
    """One line: a `UserError` as it is, anything else with its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
