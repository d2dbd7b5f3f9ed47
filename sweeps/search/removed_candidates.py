"""A candidate taken out of a study. Optuna deletes whole studies and no single trial.

So the study is written again with that candidate's trials failed, unnamed and without values: samplers leave such
trials out, and every other keeps its number. A kill in between is completed by whatever opens the study next.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from dualpt.sweeps.search.trial_attributes import IDENTITY, NAME, REMOVED, REPEATS

ASIDE = " (removing)"
"""Behind the name of the study that is being written."""
COMPLETE = "complete"
"""On that study, once it has every trial: from here the old one may go."""


def trials_of(study: optuna.Study, candidate: str) -> list[int]:
    """Numbers of the trials that are a candidate's, those that repeat its setting included."""
    said = ((trial.number, trial.user_attrs) for trial in study.get_trials(deepcopy=False))
    return [number for number, attributes in said if candidate in (attributes.get(NAME), attributes.get(REPEATS))]


def take_out(storage: BaseStorage, name: str, candidate: str) -> None:
    """Take a candidate out of the study `name`, which no launch uses."""
    complete_removal(storage, name)
    study = optuna.load_study(study_name=name, storage=storage)
    gone = set(trials_of(study, candidate))
    if not gone:
        return
    trials = [_taken_out(trial, candidate) if trial.number in gone else trial for trial in study.get_trials()]
    _write(storage, name, name + ASIDE, trials).set_user_attr(COMPLETE, True)
    complete_removal(storage, name)


def complete_removal(storage: BaseStorage, name: str) -> None:
    """Finish what a kill has cut off; nothing where there is nothing of the kind."""
    aside, known = name + ASIDE, optuna.get_all_study_names(storage)
    if aside not in known:
        return
    study = optuna.load_study(study_name=aside, storage=storage)
    if study.user_attrs.get(COMPLETE):
        if name in known:  # the old one, or half of the new one
            optuna.delete_study(study_name=name, storage=storage)
        _write(storage, aside, name, study.get_trials())
    optuna.delete_study(study_name=aside, storage=storage)


def _write(storage: BaseStorage, of: str, name: str, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """A study of this name with these trials, and all else as study `of` has it."""
    old = optuna.load_study(study_name=of, storage=storage)
    new = optuna.create_study(storage=storage, study_name=name, directions=old.directions)
    ids = {one: storage.get_study_id_from_name(one) for one in (of, name)}
    for key, value in storage.get_study_system_attrs(ids[of]).items():
        storage.set_study_system_attr(ids[name], key, value)  # its metrics' names, and where a sampler stands
    for key, value in old.user_attrs.items():
        if key != COMPLETE:
            new.set_user_attr(key, value)
    new.add_trials(trials)
    return new


def _taken_out(trial: FrozenTrial, candidate: str) -> FrozenTrial:
    now = datetime.now(UTC).replace(tzinfo=None)  # Optuna's times have no zone
    kept = {key: value for key, value in trial.user_attrs.items() if key not in (NAME, REPEATS, IDENTITY)}
    trial.state, trial.values, trial.intermediate_values = TrialState.FAIL, None, {}
    trial.user_attrs = {**kept, REMOVED: candidate}
    trial.datetime_start, trial.datetime_complete = trial.datetime_start or now, trial.datetime_complete or now
    return trial
