"""The supply of workers: who is started, given work, kept waiting and stopped. The last test starts Ray."""

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.workers import supply
from dualpt.sweeps.workers.losses import Loss
from dualpt.sweeps.workers.supply import MOST_FAULTS, WorkerSupply
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FakeRunner, fake_key, slow_starters, starts_of
from tests.sweeps.running import open_dispatcher, shown, trained
from tests.sweeps.small_sweep import Declare

UNITS = 40
ONE_CELL_UNITS = {
    "baselines": [],
    "grid.datasets": ["mini-pets"],
    "grid.seeds": [1],
    "search.trials": UNITS,
    "search.sampler": "random",
    "search.pack": 1,
    "search.space": {"alignment.llm_weight": {"float": [0.1, 10]}},
}
NOTHING: dict[str, Any] = {"outcomes": (), "kept": (), "left": 0}
"""What a worker without a work unit reports."""


class Workers:
    """Workers in this process, with a supply that does not know that there is no Ray."""

    def __init__(self, sweep: LoadedSweep, log: Path) -> None:
        uri = sweep.file.run.tracking_uri
        self._ledger, self._runner = Ledger(uri), FakeRunner(log)
        self.notes: list[str] = []
        self.dispatcher = open_dispatcher(sweep)
        self.dispatcher.workers = 2
        self.supply = WorkerSupply(
            self.dispatcher, Outbox(uri), self._ledger, self.notes.append, give=lambda w, unit: w.take(unit)
        )
        self._packs: dict[str, list[Any]] = {}
        self.trained: Counter[str] = Counter()
        """Packs by worker."""

    def asks_for(self, name: str) -> Any:
        """What the supply answers when Tune asks whether to start another worker, `name`."""
        return self.supply.suggest(name)

    def start(self, name: str) -> bool:
        """The worker's actor runs, and reports for the first time; returns whether it goes on."""
        take = lambda unit: self._packs.__setitem__(name, list(unit.packs))  # noqa: E731
        self.supply.started(SimpleNamespace(trial_id=name, take=take))  # type: ignore[arg-type]
        return self.supply.report(name, dict(NOTHING))

    def step(self, name: str) -> bool:
        """The worker trains a pack if it has one, and reports; returns whether it goes on."""
        packs = self._packs.get(name)
        if not packs:
            return self.supply.report(name, dict(NOTHING))
        outcomes = train_pack(self._runner, self._ledger, packs.pop(0)).outcomes  # type: ignore[arg-type]
        self.trained[name] += 1
        return self.supply.report(name, {"outcomes": outcomes, "kept": (), "left": len(packs)})


def test_tune_which_writes_a_workers_configuration_to_disk_has_only_its_number(declare: Declare, log: Path) -> None:
    """The address of a tracking store may hold a password."""
    assert Workers(declare(**ONE_CELL_UNITS), log).asks_for("a") == {"number": 1, "sweep": "small"}


def test_a_worker_forgets_the_packs_of_a_trial_that_is_stopped(declare: Declare, log: Path) -> None:
    workers = Workers(declare(baselines=["zero-shot", "coop"], search=None), log)
    workers.dispatcher.workers = 1
    workers.asks_for("a")
    assert workers.start("a")
    for _ in range(3):
        assert workers.step("a"), "zero-shot has a pack per dataset"
    assert workers.step("a"), "the first of three packs; the worker has the others already"
    workers.supply.steer(lambda: workers.dispatcher.stop("coop", "ada"))
    assert not workers.step("a"), "the one that was in training when the trial was stopped"
    assert workers.trained["a"] == 3 + 2
    assert workers.dispatcher.complete


def test_a_worker_that_starts_late_still_gets_its_share(declare: Declare, log: Path) -> None:
    """The first has done a dozen units when the second is ready."""
    workers = Workers(declare(**ONE_CELL_UNITS), log)
    assert workers.asks_for("first")["number"] == 1
    assert workers.asks_for("second")["number"] == 2, "it is started at once"
    assert workers.start("first")
    for _ in range(12):
        assert workers.step("first")
    assert workers.start("second")
    names = ["first", "second"]
    while names:
        names = [name for name in names if workers.step(name)]
    assert workers.dispatcher.complete
    assert abs((workers.trained["first"] - 12) - workers.trained["second"]) <= 1
    assert set(trained(log).values()) == {1}
    assert workers.asks_for("third") == Searcher.FINISHED


def test_a_worker_waits_for_what_others_may_bring_and_no_longer(
    declare: Declare, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(supply.time, "monotonic", lambda: now)
    workers = Workers(declare(baselines=["coop"], search=None, **{"grid.datasets": ["mini-pets"]}), log)
    workers.asks_for("busy")
    assert workers.start("busy")
    assert workers.start("idle"), "the other one's pack may come back"
    assert workers.asks_for("third") is None
    now = supply.IDLE_SECONDS - 1
    assert workers.step("idle")
    now = supply.IDLE_SECONDS + 1
    assert not workers.step("idle")
    assert not workers.step("busy"), "it has trained the last pack"
    assert workers.dispatcher.complete


def test_the_unit_of_a_dead_worker_goes_to_another(declare: Declare, log: Path) -> None:
    workers = Workers(declare(baselines=["coop"], search=None), log)
    workers.asks_for("first")
    assert workers.start("first")
    workers.supply.lost("first", Loss(None, machine_lost=True))
    assert workers.notes == ["[yellow]a machine is gone[/]: what it had in training is assigned again"]
    workers.asks_for("second")
    assert workers.start("second")
    while workers.step("second"):
        pass
    assert workers.dispatcher.complete
    assert workers.dispatcher.counts.failed == 0


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (Loss("RuntimeError: no such device", machine_lost=False), "RuntimeError: no such device"),
        (Loss(None, machine_lost=False), "its process died while it started"),
    ],
)
def test_workers_that_never_start_end_the_sweep(declare: Declare, log: Path, loss: Loss, reason: str) -> None:
    workers = Workers(declare(**ONE_CELL_UNITS), log)
    for number in range(MOST_FAULTS):
        assert workers.supply.error is None
        assert workers.asks_for(f"worker {number}")["number"] == number + 1
        workers.supply.lost(f"worker {number}", loss)
    assert isinstance(workers.supply.error, UserError)
    assert str(workers.supply.error) == f"workers cannot train: {reason}"
    assert workers.asks_for("another") == Searcher.FINISHED


def test_a_draining_sweep_ends_each_unit_after_its_pack(declare: Declare, log: Path) -> None:
    workers = Workers(declare(baselines=["coop"], search=None), log)
    workers.asks_for("only")
    assert workers.start("only")
    workers.dispatcher.draining = True
    assert not workers.step("only")
    assert workers.dispatcher.idle
    assert not workers.dispatcher.complete
    assert workers.asks_for("another") == Searcher.FINISHED


@pytest.mark.cluster
def test_a_worker_that_takes_longer_to_start_than_units_take_is_not_started_in_vain(
    declare: Declare, log: Path, running_ray: None
) -> None:
    units = 24
    sweep = declare(**{**ONE_CELL_UNITS, "search.trials": units, "run.max_concurrent": 2})
    runner = slow_starters(log, seconds=0.25, starting=2.0)
    outcome = launch(sweep, console=Console(quiet=True), runner=runner, key=fake_key)  # type: ignore[arg-type]
    assert (outcome.exit_code, outcome.failed) == (0, 0)
    workers = [process for process in starts_of(log) if process != str(os.getpid())]
    assert len(workers) == 2
    by_process = Counter(line.split()[2] for line in log.read_text().splitlines())
    assert set(by_process) == set(workers), "both have trained"
    assert len(shown(sweep, lambda row: row.kind == "search")) == units
