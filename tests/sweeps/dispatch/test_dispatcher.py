"""The dispatcher with a runner beside it and no Ray: what is trained, reused, resumed, and hidden from the search."""

import dataclasses
from pathlib import Path

import optuna
import pytest

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.shared_packs import MOST_DEATHS
from dualpt.sweeps.launching.launch import without_new_candidates
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import CellOutcome
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FATAL_WEIGHT, FakeRunner
from tests.sweeps.running import finish, open_dispatcher, shown, train_here, trained
from tests.sweeps.small_sweep import Declare

WEIGHT = "alignment.llm_weight"
ALL_TRIALS = {"zero-shot", "coop", "trial-001", "trial-002", "trial-003", "trial-004", "best"}


def study_values(declare: Declare) -> list[float]:
    run = declare().file.run
    study = optuna.load_study(study_name="small", storage=run.study_storage)
    return [trial.values[0] for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]


def test_a_sweep_is_trained_whole_and_once(declare: Declare, log: Path) -> None:
    sweep = declare()
    dispatcher = train_here(sweep, log)
    rows = shown(sweep)
    assert len(rows) == dispatcher.total == dispatcher.counts.finished == 27
    assert all(row.finished for row in rows)
    assert {row.trial for row in rows} == ALL_TRIALS
    assert set(trained(log).values()) == {1}
    assert dispatcher.counts.reused == 3, "the selected setting was judged on three cells already"


def test_the_same_sweep_again_has_no_work(done: LoadedSweep, log: Path) -> None:
    before = trained(log)
    again = open_dispatcher(done)
    assert not again.has_work()
    assert again.idle
    assert again.counts.kept == again.total == 27
    assert again.best is not None
    assert trained(log) == before


@pytest.mark.parametrize("packs", [4, 9, 13])
def test_a_killed_sweep_repeats_no_finished_cell(declare: Declare, log: Path, packs: int) -> None:
    sweep = declare()
    train_here(sweep, log, stop_after=packs)
    train_here(sweep, log)
    assert set(trained(log).values()) == {1}
    rows = shown(sweep)
    assert len(rows) == 27
    assert all(row.finished for row in rows)
    assert {row.trial for row in rows} == ALL_TRIALS


def test_another_sweep_of_the_store_takes_the_cells_it_shares(done: LoadedSweep, declare: Declare, log: Path) -> None:
    before = trained(log)
    twin = declare(name="twin")
    dispatcher = train_here(twin, log)
    assert trained(log) == before
    assert dispatcher.counts.trained == 0
    rows = shown(twin)
    assert len(rows) == 27
    assert all(row.finished and row.reused_from for row in rows)


def test_more_seeds_train_only_the_new_cells(done: LoadedSweep, declare: Declare, log: Path) -> None:
    before = trained(log)
    more = declare(**{"grid.seeds": [1, 2, 3], "search.seeds": [1, 3]})
    dispatcher = train_here(more, log)
    assert all(trained(log)[key] == before[key] == 1 for key in before)
    rows = [row for row in shown(more) if row.kind == "search"]
    assert len(rows) == 4 * 3 * 2
    assert dispatcher.counts.failed == 0
    assert {row.seed for row in shown(more) if row.trial == "best"} == {1, 2, 3}
    ledger = Ledger(more.file.run.tracking_uri)
    assert {row.status for row in ledger.trials(dispatcher.experiment)} == {"FINISHED"}, (
        "extended trials are closed again"
    )


def test_more_trials_extend_the_search(done: LoadedSweep, declare: Declare, log: Path) -> None:
    before = trained(log)
    train_here(declare(**{"search.trials": 6}), log)
    names = {row.trial for row in shown(declare()) if row.kind == "search"}
    assert names == {f"trial-00{n}" for n in range(1, 7)}
    assert all(trained(log)[key] == 1 for key in before)


def test_a_failing_setting_costs_only_its_own_cells(declare: Declare, log: Path) -> None:
    space = {WEIGHT: {"choice": [1.0, 4.0, FATAL_WEIGHT, FATAL_WEIGHT + 2]}}
    sweep = declare(**{"search.space": space})
    dispatcher = train_here(sweep, log)
    failed = [row for row in shown(sweep) if not row.finished]
    assert len(failed) == dispatcher.counts.failed == 2 * 3
    assert {row.failure for row in failed} == {"RuntimeError: no such weight", "loss is not finite"}
    assert {row.params[WEIGHT] for row in shown(sweep) if row.trial == "best"} == {"4.0"}
    assert set(study_values(declare)) == {84.51, 87.51}


def test_failed_cells_are_tried_again_at_the_next_launch(declare: Declare, log: Path) -> None:
    space = {WEIGHT: {"choice": [1.0, FATAL_WEIGHT]}}
    sweep = declare(**{"search.space": space, "search.trials": 2})
    train_here(sweep, log)
    tries = [count for count in trained(log).values() if count > 1]
    assert tries == []
    again = train_here(sweep, log)
    assert (again.counts.trained, again.counts.failed) == (0, 3)
    assert sorted(trained(log).values())[-3:] == [2, 2, 2]


def test_cells_in_training_are_awaited_and_not_trained_twice(declare: Declare, log: Path) -> None:
    """The first candidate is the reference, whose cells the baseline of the same setting is about to train."""
    sweep = declare(baselines=["dualpt"])
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    dispatcher.workers = 3
    baseline = [dispatcher.assign(), dispatcher.assign(), dispatcher.assign()]
    following = dispatcher.assign()
    assert {unit.trial.name for unit in baseline if unit} == {"dualpt"}
    assert following is not None
    assert following.trial.name == "trial-002"
    for unit in baseline:
        assert unit is not None
        dispatcher.receive(unit.number, train_pack(FakeRunner(log), ledger, unit.packs[0]).outcomes)  # type: ignore[arg-type]
        dispatcher.end_unit(unit.number)
    assert dispatcher.best == ("trial-001", pytest.approx(87.51 - abs(sweep.reference.alignment.llm_weight - 4)))
    assert {row.trial for row in shown(sweep)} == {"dualpt", "trial-001"}


def test_packs_are_shared_among_workers(declare: Declare) -> None:
    dispatcher = open_dispatcher(declare(baselines=["coop"], search=None))
    dispatcher.workers = 2
    first, second = dispatcher.assign(), dispatcher.assign()
    assert first is not None
    assert second is not None
    assert (len(first.packs), len(second.packs)) == (2, 1)
    assert first.trial == second.trial
    assert dispatcher.assign() is None
    assert not dispatcher.idle


def test_a_pack_over_which_a_worker_died_is_dealt_in_parts_and_a_cell_is_given_up(declare: Declare) -> None:
    sweep = declare(baselines=["coop"], search=None)
    dispatcher = open_dispatcher(sweep)
    sizes = []
    for _ in range(MOST_DEATHS):
        unit = dispatcher.assign()
        assert unit is not None
        sizes.append([len(pack) for pack in unit.packs])
        dispatcher.end_unit(unit.number, died=True)
    left = dispatcher.assign()
    assert left is not None
    assert sizes == [[2, 2, 2], [1, 1, 2, 2]]
    assert [len(pack) for pack in left.packs] == [1, 2, 2]
    assert dispatcher.counts.failed == 1
    assert {row.failure for row in shown(sweep)} == {
        "the worker process died 2 times while training this cell; is it out of memory?"
    }


def test_draining_keeps_what_was_trained_and_deals_no_more(declare: Declare) -> None:
    sweep = declare()
    dispatcher = open_dispatcher(sweep)
    unit = dispatcher.assign()
    assert unit is not None
    dispatcher.draining = True
    assert dispatcher.assign() is None
    dispatcher.end_unit(unit.number)
    assert dispatcher.idle
    dispatcher.close(interrupted=True)


def test_test_accuracy_never_reaches_the_search(declare: Declare, log: Path) -> None:
    """In the fake runner, test accuracy is best where validation accuracy is worst."""
    sweep = declare(**{"search.space": {WEIGHT: {"choice": [1.0, 4.0, 9.0]}}, "search.trials": 3})
    train_here(sweep, log)
    searched = [row for row in shown(sweep) if row.kind == "search"]
    validation = {round(row.metrics["val/accuracy"], 6) for row in searched}
    assert not validation & {round(row.metrics["test/accuracy"], 6) for row in searched}
    assert {round(value, 6) for value in study_values(declare)} == validation
    assert {row.params[WEIGHT] for row in shown(sweep) if row.trial == "best"} == {"4.0"}
    assert {field.name for field in dataclasses.fields(CellOutcome)} == {"key", "run_id", "selection", "failure"}


def test_searched_shots_select_a_front(declare: Declare, log: Path) -> None:
    space = {"data.shots": {"choice": [1, 4]}, WEIGHT: {"choice": [1.0, 4.0]}}
    sweep = declare(**{"grid.shots": [1, 4], "search.space": space, "search.trials": 4})
    train_here(sweep, log)
    best = [row for row in shown(sweep) if row.kind == "best"]
    assert {(row.trial, row.shots) for row in best} == {("best-1-shot", 1), ("best-4-shot", 4)}
    assert len(best) == 2 * 3 * 2


def test_a_changed_setting_is_trained_anew_and_replaces_the_old(declare: Declare, log: Path) -> None:
    train_here(declare(search=None), log)
    changed = declare(search=None, setting={"optim.epochs": 3})
    dispatcher = train_here(changed, log)
    assert (dispatcher.counts.trained, dispatcher.counts.kept) == (6, 3)
    rows = shown(changed, lambda row: row.trial == "coop")
    assert {row.params["optim.epochs"] for row in rows} == {"3"}
    assert len(rows) == 6


def test_only_failed_trains_nothing_but_failed_cells(declare: Declare, log: Path) -> None:
    """A baseline and candidates are unfinished, one candidate has failed: its cells alone are tried again."""
    space = {WEIGHT: {"choice": [1.0, FATAL_WEIGHT]}}
    sweep = declare(**{"search.space": space, "search.trials": 2})
    train_here(sweep, log)
    failed = frozenset(row.key for row in shown(sweep) if not row.finished)
    assert len(failed) == 3
    more = declare(**{"search.space": space, "search.trials": 2, "grid.seeds": [1, 2, 3]})
    repaired = without_new_candidates(more, shown(more))
    before = trained(log)
    dispatcher = open_dispatcher(repaired, only=failed)
    finish(dispatcher, more, log)
    assert {key for key, count in (trained(log) - before).items() if count} == failed
    train_here(more, log)
    rows = [row for row in shown(more) if row.kind != "search"]
    assert {row.seed for row in rows if row.seed} == {1, 2, 3}, "a whole launch goes on with the rest"


def test_only_failed_without_failures_is_one_line(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    with pytest.raises(UserError, match="no failed cell"):
        without_new_candidates(sweep, shown(sweep))


def test_what_a_lost_worker_had_recorded_is_not_trained_again(declare: Declare, log: Path) -> None:
    sweep = declare(baselines=["coop"], search=None)
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    unit = dispatcher.assign()
    assert unit is not None
    train_pack(FakeRunner(log), ledger, unit.packs[0])  # type: ignore[arg-type]
    dispatcher.recover(unit.number)
    dispatcher.end_unit(unit.number, died=True)
    finish(dispatcher, sweep, log)
    assert set(trained(log).values()) == {1}
    assert len(shown(sweep)) == 6


def test_trials_that_a_kill_left_open_are_closed(declare: Declare, log: Path) -> None:
    train_here(declare(), log, stop_after=4)
    sweep = declare(search=None, baselines=["zero-shot"])
    train_here(sweep, log)
    ledger = Ledger(sweep.file.run.tracking_uri)
    statuses = {row.ref.name: row.status for row in ledger.trials(ledger.named_experiment("small"))}
    assert statuses == {"zero-shot": "FINISHED", "coop": "KILLED"}


def test_packs_ahead_count_trials_that_have_not_begun(declare: Declare, log: Path) -> None:
    sweep = declare()
    dispatcher = open_dispatcher(sweep)
    assert dispatcher.packs_ahead == 5, "27 cells, and no trial has more than 6"
    assert dispatcher.has_work()
    assert dispatcher.packs_ahead == 3 + 4, "the three of zero-shot, and 24 cells"
    finish(dispatcher, sweep, log)
    assert dispatcher.packs_ahead == 0
