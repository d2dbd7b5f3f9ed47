"""A sweep's studies under another name, or gone: its own and those that were set aside, `demo (before 1)`."""

import re
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage

from dualpt.sweeps.search.removed_candidates import take_out, trials_of
from dualpt.sweeps.search.studies import move_study, open_storage
from dualpt.sweeps.stores import is_new


@dataclass(frozen=True)
class Study:
    """A study in a storage."""

    name: str
    trials: int


def studies_of(uri: str, sweep: str) -> list[Study]:
    """The studies that belong to a sweep's name; none where there is no storage yet. Changes nothing.

    Raises:
        UserError: the storage cannot be used.
    """
    if is_new(uri):
        return []
    storage = open_storage(uri, to_write=False)
    known = optuna.get_all_study_summaries(storage, include_best_trial=False)
    return [Study(one.study_name, one.n_trials) for one in known if _belongs(one.study_name, sweep)]


def rename_studies(uri: str, old: str, new: str) -> None:
    """Give a sweep's studies its new name. What a kill has left half copied is copied again by the next call.

    Raises:
        UserError: the storage cannot be used.
    """
    names = [study.name for study in studies_of(uri, old)]
    if not names:
        return
    storage = open_storage(uri)
    for name in names:
        renamed = new + name.removeprefix(old)
        _delete(renamed, storage)
        move_study(name, renamed, storage)


def delete_studies(uri: str, sweep: str) -> None:
    """Delete a sweep's studies, for good.

    Raises:
        UserError: the storage cannot be used.
    """
    if names := [study.name for study in studies_of(uri, sweep)]:
        storage = open_storage(uri)
        for name in names:
            _delete(name, storage)


def candidate_trials(uri: str, sweep: str, candidate: str) -> list[int]:
    """Optuna's numbers of a candidate's trials; none where there is no such study. Changes nothing.

    Raises:
        UserError: the storage cannot be used.
    """
    if sweep not in (study.name for study in studies_of(uri, sweep)):
        return []
    return trials_of(optuna.load_study(study_name=sweep, storage=open_storage(uri, to_write=False)), candidate)


def remove_candidate(uri: str, sweep: str, candidate: str) -> None:
    """Take a candidate out of a sweep's study.

    Raises:
        UserError: the storage cannot be used.
    """
    take_out(open_storage(uri), sweep, candidate)


def _belongs(study: str, sweep: str) -> bool:
    return re.fullmatch(rf"{re.escape(sweep)}( \((before \d+|removing)\))?", study) is not None


def _delete(name: str, storage: BaseStorage) -> None:
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
