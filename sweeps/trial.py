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
from sweeps.plan import Pack
from sweeps.records import KeyedCell, TrialRef
from sweeps.shards import SELECTION, CellOutcome, Shard
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
        self._outcomes += train_pack(self._bench, self._ledger, self._trial, self._packs.popleft())
        return {"outcomes": tuple(self._outcomes), "done": not self._packs}

    def _begin(self, shard: Shard) -> None:
        self._trial = shard.trial
        self._packs = deque(shard.packs)
        self._outcomes: list[CellOutcome] = []


def train_pack(bench: "Bench", ledger: Ledger, trial: TrialRef, pack: Pack) -> list[CellOutcome]:
    """Train a pack and record its cells, whatever happens to it.

    The pack's checkpoint is named after its cells' keys, so that a later launch finds it, and is removed when the
    cells are on record.
    """
    checkpoint = checkpoint_of(pack)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        results = bench.run([keyed.cell for keyed in pack], checkpoint=checkpoint)
    except Exception as error:
        outcomes = _record_failure(ledger, trial, pack, error, time.monotonic() - started)
    else:
        outcomes = _record(ledger, trial, pack, results, time.monotonic() - started)
    checkpoint.unlink(missing_ok=True)
    return outcomes


def checkpoint_of(pack: Sequence[KeyedCell]) -> Path:
    """Where a pack's training state is kept while it trains."""
    return cache_root() / "checkpoints" / f"{fingerprint([keyed.key for keyed in pack])[:32]}.safetensors"


def _record(
    ledger: Ledger, trial: TrialRef, pack: Pack, results: "Sequence[CellResult]", seconds: float
) -> list[CellOutcome]:
    share = seconds / len(pack)
    outcomes = []
    for keyed, result in zip(pack, results, strict=True):
        run_id = ledger.record(trial, keyed, result, share)
        selection = result.metrics.by_name().get(SELECTION)
        outcomes.append(CellOutcome(keyed.key, run_id, selection, result.failure))
    return outcomes


def _record_failure(ledger: Ledger, trial: TrialRef, pack: Pack, error: Exception, seconds: float) -> list[CellOutcome]:
    reason, details = _reason(error), "".join(traceback.format_exception(error))
    outcomes = []
    for keyed in pack:
        run_id = ledger.record_failure(trial, keyed, reason, seconds / len(pack), details)
        outcomes.append(CellOutcome(keyed.key, run_id, None, reason))
    return outcomes


def _reason(error: Exception) -> str:
    """One line: a `UserError` as it is, anything else with its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
