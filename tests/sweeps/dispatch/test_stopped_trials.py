"""Trials that users stop: no further cell of theirs is begun, none that finished is lost, and the study hears of it."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import TrialRow
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FakeRunner
from tests.sweeps.running import finish, open_dispatcher, shown, train_here, trained
from tests.sweeps.small_sweep import Declare

SMALL = {"baselines": ["coop"], "search.trials": 2, "search.sampler": "random"}


def trial_row(declare: Declare, name: str) -> TrialRow:
    ledger = Ledger(declare().file.run.tracking_uri, create=False)
    return next(row for row in ledger.trials(ledger.named_experiment("small")) if row.ref.name == name)


def states(declare: Declare) -> dict[str, TrialState]:
    """The last state of each candidate in the study."""
    study = optuna.load_study(study_name="small", storage=declare().file.run.study_storage)
    return {trial.user_attrs["name"]: trial.state for trial in study.trials if "name" in trial.user_attrs}


def train_until(dispatcher: Dispatcher, uri: str, log: Path, trial: str, packs: int) -> None:
    """Train until so many packs of a trial are done."""
    ledger, done = Ledger(uri, create=False), 0
    while done < packs:
        unit = dispatcher.assign()
        assert unit is not None
        for pack in unit.packs:
            dispatcher.receive(unit.number, train_pack(FakeRunner(log), ledger, pack).outcomes)  # type: ignore[arg-type]
        done += unit.trial.name == trial
        dispatcher.end_unit(unit.number)


def test_a_stopped_candidate_stays_stopped_until_it_is_asked_for(declare: Declare, log: Path) -> None:
    sweep = declare(**SMALL)
    dispatcher = open_dispatcher(sweep)
    dispatcher.workers = 9  # a pack each, so it can be stopped in between
    train_until(dispatcher, sweep.file.run.tracking_uri, log, "trial-001", 1)
    assert dispatcher.stop("trial-001", "ada") == "trial-001 stops"
    finish(dispatcher, sweep, log)
    assert dispatcher.complete
    row = trial_row(declare, "trial-001")
    assert (row.status, row.stopped) == ("KILLED", True)
    assert len([cell for cell in shown(sweep) if cell.trial == "trial-001"]) == 1, "the finished cell is kept"
    assert states(declare)["trial-001"] == TrialState.PRUNED, "one dataset was measured"

    before = trained(log)
    again = train_here(declare(**SMALL), log)
    assert again.complete
    assert again.counts.finished == again.total
    assert trained(log) == before
    assert trial_row(declare, "trial-001").stopped

    Ledger(sweep.file.run.tracking_uri).restart_trial(row.ref.run_id)
    train_here(declare(**SMALL), log)
    assert trial_row(declare, "trial-001").status == "FINISHED"
    assert not trial_row(declare, "trial-001").stopped
    assert states(declare)["trial-001"] == TrialState.COMPLETE
    assert set(trained(log).values()) == {1}


def test_a_candidate_that_has_measured_nothing_teaches_the_sampler_nothing(declare: Declare, log: Path) -> None:
    sweep = declare(**{**SMALL, "baselines": []})
    dispatcher = open_dispatcher(sweep)
    dispatcher.workers = 9
    assert dispatcher.has_work()
    dispatcher.stop("trial-001", "ada")
    assert states(declare)["trial-001"] == TrialState.FAIL
    finish(dispatcher, sweep, log)
    assert dispatcher.complete
    assert {cell.trial for cell in shown(sweep)} == {"trial-002", "best"}


def test_cells_in_training_finish_and_the_rest_of_the_unit_is_taken_back(declare: Declare, log: Path) -> None:
    sweep = declare(**{**SMALL, "search": None})
    dispatcher, ledger = open_dispatcher(sweep), Ledger(sweep.file.run.tracking_uri)
    unit = dispatcher.assign()
    assert unit is not None
    assert len(unit.packs) == 3
    assert not dispatcher.is_withdrawn(unit.number)
    assert dispatcher.stop("coop", "ada") == "coop stops when its cells in training have finished"
    assert dispatcher.is_withdrawn(unit.number)
    assert not trial_row(declare, "coop").stopped, "not before the pack in training has finished"
    dispatcher.receive(unit.number, train_pack(FakeRunner(log), ledger, unit.packs[0]).outcomes)  # type: ignore[arg-type]
    dispatcher.end_unit(unit.number)
    assert trial_row(declare, "coop").stopped
    assert not dispatcher.has_work()
    assert dispatcher.complete
    assert len(shown(sweep, lambda row: row.finished)) == 2


def test_what_waits_for_a_stopped_trials_cells_trains_them_itself(declare: Declare, log: Path) -> None:
    """The first candidate is the reference, whose cells the baseline of the same setting is about to train."""
    sweep = declare(**{**SMALL, "baselines": ["dualpt"]})
    dispatcher = open_dispatcher(sweep)
    dispatcher.workers = 3
    units = [dispatcher.assign() for _ in range(4)]
    dispatcher.stop("dualpt", "ada")
    for unit in units:
        assert unit is not None
        dispatcher.end_unit(unit.number)  # their workers have begun no pack of them
    finish(dispatcher, sweep, log)
    assert dispatcher.complete
    assert trial_row(declare, "trial-001").status == "FINISHED"
    assert trial_row(declare, "dualpt").stopped
    assert set(trained(log).values()) == {1}


@pytest.mark.parametrize("name", ["coop", "no-such"])
def test_a_trial_that_has_not_begun_is_stopped_before_its_first_cell(declare: Declare, log: Path, name: str) -> None:
    sweep = declare(**{**SMALL, "baselines": ["zero-shot", "coop"], "search": None})
    dispatcher = open_dispatcher(sweep)
    assert dispatcher.has_work()
    said = dispatcher.stop(name, "ada")
    finish(dispatcher, sweep, log)
    assert dispatcher.complete
    if name == "coop":
        assert said == "coop is stopped before its first cell"
        assert trial_row(declare, "coop").stopped
        assert {row.trial for row in shown(sweep)} == {"zero-shot"}
    else:
        assert said == "no-such has finished or has not begun: there is nothing to stop"


def test_the_run_in_mlflow_says_which_of_optunas_trials_it_is(declare: Declare, log: Path) -> None:
    """Also where it was stopped, and proposed again under another number."""
    sweep = declare(**SMALL)
    dispatcher = open_dispatcher(sweep)
    dispatcher.workers = 9
    train_until(dispatcher, sweep.file.run.tracking_uri, log, "trial-001", 1)
    dispatcher.stop("trial-001", "ada")
    finish(dispatcher, sweep, log)
    Ledger(sweep.file.run.tracking_uri).restart_trial(trial_row(declare, "trial-001").ref.run_id)
    train_here(declare(**SMALL), log)
    study = optuna.load_study(study_name="small", storage=sweep.file.run.study_storage)
    last = {trial.user_attrs["name"]: trial.number for trial in study.trials if "name" in trial.user_attrs}
    assert last == {"trial-001": 2, "trial-002": 1}
    with Ledger(sweep.file.run.tracking_uri).calls() as client:
        said = {name: client.get_run(trial_row(declare, name).ref.run_id).data for name in (*last, "coop")}
    numbers = {name: data.tags.get("dualpt.optuna_trial") for name, data in said.items()}
    assert numbers == {"trial-001": "2", "trial-002": "1", "coop": None}
    assert said["trial-001"].tags["mlflow.runName"] == "trial-001"
