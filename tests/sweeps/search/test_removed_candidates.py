"""A candidate taken out of its study: Optuna's other trials keep their numbers, and samplers learn nothing of it."""

import warnings

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from dualpt.sweeps.search import removed_candidates
from dualpt.sweeps.search.removed_candidates import ASIDE, complete_removal, take_out, trials_of
from dualpt.sweeps.search.studies import open_storage


@pytest.fixture
def storage(tmp_path_factory: pytest.TempPathFactory) -> BaseStorage:
    """With a study of four trials: two candidates, a repetition of the first, and a forbidden proposal."""
    found = open_storage(f"journal:///{tmp_path_factory.mktemp('study') / 'study.log'}")
    study = optuna.create_study(study_name="demo", storage=found, direction="maximize")
    study.set_user_attr("space", "x")
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["val/accuracy"])
    for attributes, value in (
        ({"name": "trial-001", "identity": "a", "start_from": "reference"}, 60.0),
        ({"name": "trial-002", "identity": "b"}, 70.0),
        ({"repeats": "trial-001"}, 60.0),
        ({"violates": "x < 1"}, None),
    ):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        for key, text in attributes.items():
            trial.set_user_attr(key, text)
        trial.report(50.0, 1)
        study.tell(trial, value, state=None if value is not None else TrialState.FAIL)
    return found


def load(storage: BaseStorage) -> optuna.Study:
    return optuna.load_study(study_name="demo", storage=storage)


def check_it_is_out(storage: BaseStorage, before: optuna.Study) -> None:
    study, old = load(storage), before.trials
    assert optuna.get_all_study_names(storage) == ["demo"]
    assert (study.user_attrs, study.metric_names) == ({"space": "x"}, ["val/accuracy"])
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    states = [TrialState.FAIL, TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert [trial.state for trial in study.trials] == states
    assert [trial.values for trial in study.trials] == [None, [70.0], None, None]
    assert [trial.params for trial in study.trials] == [trial.params for trial in old]
    first, second, third, fourth = study.trials
    assert first.user_attrs == {"start_from": "reference", "removed": "trial-001"}
    assert third.user_attrs == {"removed": "trial-001"}
    assert (second.user_attrs, fourth.user_attrs) == (old[1].user_attrs, old[3].user_attrs)
    assert (first.intermediate_values, second.intermediate_values) == ({}, {1: 50.0})
    assert study.best_trial.user_attrs["name"] == "trial-002"


def test_its_trials_fail_under_their_numbers_and_the_others_stay(storage: BaseStorage) -> None:
    before = load(storage)
    assert trials_of(before, "trial-001") == [0, 2]
    old = optuna.create_study()
    old.add_trials(before.trials)
    take_out(storage, "demo", "trial-001")
    check_it_is_out(storage, old)
    take_out(storage, "demo", "trial-001")
    check_it_is_out(storage, old)


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_a_kill_in_between_loses_no_trial(storage: BaseStorage, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Killed before the first copy is complete, the old study is as it was; afterwards the removal is completed."""
    old, real_delete, real_create = optuna.create_study(), optuna.delete_study, optuna.create_study
    old.add_trials(load(storage).trials)
    steps = 0

    def counted(real):  # type: ignore[no-untyped-def]
        def call(*args, **options):  # type: ignore[no-untyped-def]
            nonlocal steps
            steps += 1
            if steps == calls:
                raise KeyboardInterrupt
            return real(*args, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(removed_candidates.optuna, "create_study", counted(real_create))
        patch.setattr(removed_candidates.optuna, "delete_study", counted(real_delete))
        with pytest.raises(KeyboardInterrupt):  # of: create aside, delete old, create new, delete aside
            take_out(storage, "demo", "trial-001")
    complete_removal(storage, "demo")
    if calls == 1:
        assert [trial.values for trial in load(storage).trials] == [trial.values for trial in old.trials]
        take_out(storage, "demo", "trial-001")
    check_it_is_out(storage, old)


def test_a_copy_that_was_cut_off_is_thrown_away(storage: BaseStorage) -> None:
    optuna.create_study(study_name="demo" + ASIDE, storage=storage).add_trials(load(storage).trials[:1])
    complete_removal(storage, "demo")
    assert optuna.get_all_study_names(storage) == ["demo"]
    assert len(load(storage).trials) == 4
