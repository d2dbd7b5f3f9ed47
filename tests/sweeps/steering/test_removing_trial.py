"""`dualpt remove NAME TRIAL`: one trial gone from both stores; the rest stays, and the sweep goes on without it."""

from pathlib import Path

import optuna
import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.launching.status import status_of
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.steering.removing_trial import trial_removal
from tests.command_line import answer
from tests.sweeps.running import finish, train_here, trained
from tests.sweeps.small_sweep import Declare
from tests.sweeps.steering.a_launch import SMALL, declared, opened, running

THREE = {**SMALL, "search.trials": 3, "search.sampler": "random"}


@pytest.fixture
def store(declare: Declare, tmp_path: Path, log: Path) -> str:
    """With a sweep of a baseline and three candidates, done."""
    declare()
    sweep = declared(tmp_path, **THREE)
    finish(opened(sweep), sweep, log)
    return sweep.file.run.tracking_uri


def trials(store: str) -> list[str]:
    rows = Ledger(store).trials(Ledger(store).named_experiment("small"))
    return sorted(row.ref.name for row in rows if not row.superseded)


def names_in_study(tmp_path: Path) -> list[str | None]:
    storage = declared(tmp_path, **THREE).file.run.study_storage
    return [trial.user_attrs.get("name") for trial in optuna.load_study(study_name="small", storage=storage).trials]


def test_a_candidate_goes_from_both_stores_and_another_takes_its_place(store: str, tmp_path: Path, log: Path) -> None:
    before, best = trained(log), status_of(Ledger(store), "small").best
    assert trials(store) == ["best", "trial-001", "trial-002", "trial-003", "zero-shot"]
    run = Ledger(store).trials(Ledger(store).named_experiment("small"))
    run_id = next(row.ref.run_id for row in run if row.ref.name == "trial-001")
    said = answer(("remove", "small", "trial-001", "--yes", "--store", store))
    assert said.code == 0, said.error
    assert f"small/trial-001: its run with 1 finished cell in {store}" in said.out
    assert "(trial 0): Optuna deletes no single trial, so the number stays" in said.out
    assert f"mlflow runs restore --run-id {run_id}" in said.out
    assert trials(store) == ["best", "trial-002", "trial-003", "zero-shot"]
    assert {row.trial for row in Ledger(store).read_cells("small")} == {"best", "trial-002", "trial-003", "zero-shot"}
    assert names_in_study(tmp_path) == [None, "trial-002", "trial-003"]
    assert status_of(Ledger(store), "small").best == (None if best == "trial-001" else best)
    with Ledger(store).calls() as client:
        assert client.get_run(run_id).info.lifecycle_stage == "deleted"

    train_here(declared(tmp_path, **THREE), log)
    assert trials(store) == ["best", "trial-002", "trial-003", "trial-004", "zero-shot"]
    assert names_in_study(tmp_path)[:3] == [None, "trial-002", "trial-003"]
    assert set(names_in_study(tmp_path)[3:]) - {None} == {"trial-004"}, "the name isn't given again"
    assert all(times == before[key] for key, times in trained(log).items() if key in before), "no cell is repeated"


def test_a_baseline_is_trained_again_by_the_next_launch(store: str, tmp_path: Path, log: Path) -> None:
    removal = trial_removal(store, "small", "zero-shot")
    assert len(removal.lines()) == 1, "it is in no study"
    assert removal.remove()[1].startswith("the next launch trains it again")
    assert "zero-shot" not in trials(store)
    before = sum(trained(log).values())
    train_here(declared(tmp_path, **THREE), log)
    assert "zero-shot" in trials(store)
    assert sum(trained(log).values()) == before + 1


def test_a_trial_of_a_running_sweep_or_of_none_is_refused(store: str, tmp_path: Path) -> None:
    said = answer(("remove", "small", "trial-009", "--yes", "--store", store))
    assert said.code == 2
    assert "has no trial 'trial-009'" in said.error
    with running(declared(tmp_path, **THREE)), pytest.raises(UserError, match="is being run by process"):
        trial_removal(store, "small", "trial-001")
    assert "trial-001" in trials(store)
