"""A mirrored study: what is proposed stays the same, is written once it is whole, and survives a kill from then on."""

import optuna
import pytest
from optuna.trial import TrialState

from dualpt.sweeps.search.candidates import Candidates
from dualpt.sweeps.search.studies import open_storage
from dualpt.sweeps.search.study_mirror import mirrored
from tests.sweeps.small_sweep import Declare

PROPOSED = {
    "random": [4.0, 2.297732394, 7.736074368, 8.503295203, 5.922494931, 8.714228953],
    "tpe": [4.0, 2.297732394, 7.736074368, 0.41156464, 6.487885458, 4.360593962],
}
"""Weights of the first candidates of seed 0, as of the version that asked the database each time."""


@pytest.fixture
def stored(declare: Declare) -> tuple[optuna.Study, optuna.storages.BaseStorage]:
    storage = open_storage(declare().file.run.study_storage)
    return optuna.create_study(storage=storage, study_name="mirrored", direction="maximize"), storage


@pytest.mark.parametrize("sampler", PROPOSED)
def test_a_seed_gives_the_trials_it_always_gave(declare: Declare, sampler: str) -> None:
    space = {"alignment.llm_weight": {"float": [0.1, 10]}}
    sweep = declare(**{"search.space": space, "search.sampler": sampler, "search.trials": 6})
    assert sweep.file.search is not None
    search, found = Candidates(sweep, sweep.file.search, ["judged"]), []
    while (proposal := search.ask()) is not None:
        found.append(proposal.setting.alignment.llm_weight)
        search.report(proposal, 1, 90 - abs(found[-1] - 4))
        search.tell(proposal, 90 - abs(found[-1] - 4))
    assert found == pytest.approx(PROPOSED[sampler], abs=1e-9)


def test_a_trial_is_stored_whole_or_not_at_all(stored: tuple[optuna.Study, optuna.storages.BaseStorage]) -> None:
    study, storage = stored
    mirror, write = mirrored(study, storage, "random")
    trial = mirror.ask()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("name", "trial-001")
    assert study.trials == [], "a kill would leave nothing"
    write()
    write()
    (kept,) = study.trials
    assert (kept.state, kept.user_attrs, kept.params) == (TrialState.RUNNING, {"name": "trial-001"}, trial.params)
    trial.report(70.0, 1)
    assert study.trials[0].intermediate_values == {1: 70.0}
    mirror.tell(0, 80.0)
    assert (study.trials[0].state, study.trials[0].values) == (TrialState.COMPLETE, [80.0])
    assert mirror.best_trial.number == study.best_trial.number == 0


def test_a_mirror_goes_on_with_what_is_stored(stored: tuple[optuna.Study, optuna.storages.BaseStorage]) -> None:
    study, storage = stored
    other = optuna.create_study(storage=storage, study_name="another", direction="maximize")
    other.tell(other.ask(), 1.0)  # its trial has the first id
    study.ask().suggest_float("x", 0, 1)
    mirror, _ = mirrored(study, storage, "tpe")
    mirror.tell(0, None, state=TrialState.FAIL)
    mirror.enqueue_trial({"x": 0.5}, {"name": "trial-002"})
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    again = mirror.ask()
    assert again.suggest_float("x", 0, 1) == 0.5
    mirror.tell(again.number, 60.0)
    assert [trial.params.get("x") for trial in study.trials][1:] == [0.5]
    assert [trial.values for trial in other.trials] == [[1.0]]


def test_what_another_launch_has_finished_stays(stored: tuple[optuna.Study, optuna.storages.BaseStorage]) -> None:
    study, storage = stored
    mirror, write = mirrored(study, storage, "random")
    mirror.ask()
    write()
    study.tell(0, 70.0)
    mirror.tell(0, 80.0)
    assert [trial.values for trial in study.trials] == [[70.0]]


def test_generations_are_made_of_stored_ids(stored: tuple[optuna.Study, optuna.storages.BaseStorage]) -> None:
    """NSGA-II keeps its parents by the storage's ids on the study, where a later launch looks for them."""
    study, storage = stored
    other = optuna.create_study(storage=storage, study_name="another", direction="maximize")
    other.tell(other.ask(), 1.0)
    proposing, _ = mirrored(study, storage, "nsga2")
    proposing.sampler = optuna.samplers.NSGAIISampler(seed=1, population_size=2)
    for _ in range(4):
        trial = proposing.ask()
        proposing.tell(trial, trial.suggest_float("x", 0, 1))
    ids = {trial._trial_id for trial in study.trials}
    kept = storage.get_study_system_attrs(storage.get_study_id_from_name("mirrored"))
    parents = [found for key, found in kept.items() if "parent" in key]
    assert min(ids) == 2
    assert parents
    assert all(set(one) <= ids for one in parents)
