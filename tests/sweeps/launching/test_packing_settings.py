"""Candidates that share the steps of a pack: separate trials everywhere, and only the guilty one fails."""

from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.shared_packs import settings_per_pack
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FATAL_WEIGHT, FakeRunner
from tests.sweeps.running import open_dispatcher, shown, train_here, trained
from tests.sweeps.small_sweep import Declare

WEIGHT, FORM = "alignment.llm_weight", "alignment.local_form"
WEIGHTS = {WEIGHT: {"choice": [4.0, 1.0, 9.0, 3.0]}}


def drained(dispatcher: Dispatcher, ledger: Ledger, log: Path) -> list[int]:
    """Train to the end; returns the sizes of the packs assigned."""
    sizes = []
    while (unit := dispatcher.assign()) is not None:
        for pack in unit.packs:
            sizes.append(len(pack))
            dispatcher.receive(unit.number, train_pack(FakeRunner(log), ledger, pack).outcomes)  # type: ignore[arg-type]
        dispatcher.end_unit(unit.number)
    dispatcher.close(interrupted=False)
    return sizes


def packed(sweep_dealer: Dispatcher, settings: int) -> Dispatcher:
    sweep_dealer.settings_per_pack = settings
    return sweep_dealer


def test_candidates_share_packs_and_stay_separate_trials(declare: Declare, log: Path) -> None:
    sweep = declare(baselines=[], **{"search.space": WEIGHTS})
    ledger = Ledger(sweep.file.run.tracking_uri)
    sizes = drained(packed(open_dispatcher(sweep), 4), ledger, log)
    assert sizes[:3] == [4, 4, 4], "four candidates, dataset by dataset"
    assert set(trained(log).values()) == {1}
    rows = shown(sweep, lambda row: row.kind == "search")
    assert len(rows) == 4 * 3
    weights = {row.trial: row.params[WEIGHT] for row in rows}
    assert len(set(weights.values())) == 4
    solo = declare(baselines=[], name="solo", **{"search.space": WEIGHTS, "run.tracking_uri": ledger.uri[:-3] + "2.db"})
    train_here(solo, log)
    values = {(row.params[WEIGHT], row.dataset): row.metrics["val/accuracy"] for row in rows}
    alone = shown(solo, lambda row: row.kind == "search")
    assert values == {(row.params[WEIGHT], row.dataset): row.metrics["val/accuracy"] for row in alone}


def test_only_candidates_of_equal_shape_share_a_pack(declare: Declare, log: Path) -> None:
    space = {FORM: {"choice": ["topk", "attention", "ot", "uniform"]}}
    sweep = declare(baselines=[], **{"search.space": space})
    sizes = drained(packed(open_dispatcher(sweep), 4), Ledger(sweep.file.run.tracking_uri), log)
    assert set(sizes) == {1}


def test_no_more_candidates_wait_than_a_pack_holds(declare: Declare) -> None:
    """Each is proposed without knowing how those before it do."""
    space = {FORM: {"choice": ["topk", "attention", "ot", "uniform"]}, WEIGHT: {"float": [0.1, 10]}}
    sweep = declare(baselines=[], **{"search.space": space, "search.trials": 40, "search.sampler": "random"})
    dispatcher, ledger = packed(open_dispatcher(sweep), 3), Ledger(sweep.file.run.tracking_uri)
    dispatcher.workers = 100
    assigned = {cell.key for _ in range(24) if (unit := dispatcher.assign()) for pack in unit.packs for cell in pack}
    begun = sum(row.ref.kind == "search" for row in ledger.trials(dispatcher.experiment))
    assert begun - len(assigned) // len(sweep.file.grid.datasets) <= 3


def test_given_up_candidates_leave_the_pack(declare: Declare, log: Path) -> None:
    race = {"search.racing": "asha", "search.race_reduction": 2}
    sweep = declare(baselines=[], **{"search.space": WEIGHTS, **race})
    dispatcher = packed(open_dispatcher(sweep), 4)
    sizes = drained(dispatcher, Ledger(sweep.file.run.tracking_uri), log)
    assert sizes[0] == 4
    assert max(sizes[1:3]) <= 2
    assert dispatcher.counts.pruned > 0
    assert {row.params[WEIGHT] for row in shown(sweep) if row.trial == "best"} == {"4.0"}


def test_of_a_pack_that_fails_only_the_guilty_setting_fails(declare: Declare, log: Path) -> None:
    space = {WEIGHT: {"choice": [4.0, 1.0, FATAL_WEIGHT, 3.0]}}
    sweep = declare(baselines=[], **{"search.space": space})
    drained(packed(open_dispatcher(sweep), 4), Ledger(sweep.file.run.tracking_uri), log)
    rows = shown(sweep, lambda row: row.kind == "search")
    assert {row.params[WEIGHT] for row in rows if not row.finished} == {"13.0"}
    assert sum(row.finished for row in rows) == 3 * 3


def test_after_a_death_the_candidates_of_a_pack_are_tried_alone(declare: Declare, log: Path) -> None:
    sweep = declare(baselines=[], **{"search.space": WEIGHTS})
    dispatcher, ledger = packed(open_dispatcher(sweep), 4), Ledger(sweep.file.run.tracking_uri)
    unit = dispatcher.assign()
    assert unit is not None
    assert len(unit.packs[0]) == 4
    dispatcher.end_unit(unit.number, died=True)
    again = dispatcher.assign()
    assert again is not None
    assert len(again.packs[0]) == 1, "the suspects, one by one"
    dispatcher.end_unit(again.number, died=True)
    assert dispatcher.counts.failed == 1
    sizes = drained(dispatcher, ledger, log)
    assert sizes[:3] == [1, 4 - 1, 4 - 1] or sizes.count(1) >= 3
    assert len([row for row in shown(sweep) if not row.finished]) == 1


class Exhausted(FakeRunner):
    """A device whose memory holds one replica."""

    def run(self, cells, report=None, checkpoint=None):  # type: ignore[no-untyped-def]
        if len(cells) > 1:
            raise MemoryError("out of memory")
        return super().run(cells, report, checkpoint)


class Faulty(FakeRunner):
    def run(self, cells, report=None, checkpoint=None):  # type: ignore[no-untyped-def]
        super().run(cells, report, checkpoint)
        raise UserError("no such bank")


@pytest.mark.parametrize(("runner", "attempts", "failed"), [(Exhausted, 1, 0), (Faulty, 1, 2)])
def test_a_pack_of_seeds_is_tried_again_in_parts_where_that_can_help(
    declare: Declare, log: Path, runner: type[FakeRunner], attempts: int, failed: int
) -> None:
    sweep = declare(baselines=["coop"], search=None)
    unit = open_dispatcher(sweep).assign()
    assert unit is not None
    outcomes = train_pack(runner(log), Ledger(sweep.file.run.tracking_uri), unit.packs[0]).outcomes  # type: ignore[arg-type]
    assert sum(outcome.failure is not None for outcome in outcomes) == failed
    assert set(trained(log).values()) == {attempts}


class Interrupted(FakeRunner):
    """Leaves a checkpoint of a pack of several, fails, and looks for it when the parts train."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.kept: list[bool] = []
        self.abandoned = Path()

    def run(self, cells, report=None, checkpoint=None):  # type: ignore[no-untyped-def]
        if len(cells) > 1:
            self.abandoned = checkpoint
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.write_bytes(b"state")
            raise MemoryError("out of memory")
        self.kept.append(self.abandoned.exists())
        return super().run(cells, report, checkpoint)


def test_a_pack_tried_again_in_parts_leaves_no_checkpoint_that_a_kill_would_abandon(
    declare: Declare, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    sweep = declare(baselines=["coop"], search=None)
    unit = open_dispatcher(sweep).assign()
    assert unit is not None
    runner = Interrupted(log)
    train_pack(runner, Ledger(sweep.file.run.tracking_uri), unit.packs[0])  # type: ignore[arg-type]
    assert runner.kept == [False] * len(unit.packs[0])


def test_automatic_packs_follow_the_device_and_the_seeds() -> None:
    assert settings_per_pack("auto", n_seeds=1, on_gpu=False) == 4
    assert settings_per_pack("auto", n_seeds=3, on_gpu=False) == 1
    assert settings_per_pack("auto", n_seeds=3, on_gpu=True) == 5
    assert settings_per_pack(7, n_seeds=3, on_gpu=False) == 7
