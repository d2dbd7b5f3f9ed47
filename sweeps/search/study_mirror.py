"""A study in memory that is written to its storage as it changes, for the one launch that uses it.

A database is asked a dozen times for one candidate when Optuna speaks to it directly: each parameter and attribute is a
transaction, and each question reads the trials again. Here questions are answered from memory, and a new trial is
written in one transaction, once it has its parameters and its name.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

BY_IDS = ("nsga2",)
"""Samplers that record trials by the ids of their storage, which differ in memory: their studies are not mirrored."""


def mirrored(study: optuna.Study, storage: BaseStorage, sampler: str) -> tuple[optuna.Study, Callable[[], None]]:
    """A study to propose with, and what writes the trial that it has begun last to its storage.

    Args:
        study: the study as it is stored.
        storage: where; nobody else may change the study from now on.
        sampler: the sampler's name in a sweep file.
    """
    if sampler in BY_IDS:
        return study, lambda: None
    mirror = _Mirror(study, storage)
    return optuna.load_study(study_name=study.study_name, storage=mirror), mirror.write


class _Mirror(InMemoryStorage):
    """Holds one study, and hands on to its storage what is changed."""

    def __init__(self, study: optuna.Study, storage: BaseStorage) -> None:
        super().__init__()
        self._storage = storage
        self._stored_study = storage.get_study_id_from_name(study.study_name)
        self._stored: dict[int, int] = {}
        """Ids of trials in the storage, by those in memory."""
        self._begun: int | None = None
        """A trial that is in memory alone."""
        copy = super().create_new_study(study.directions, study.study_name)
        for key, value in storage.get_study_system_attrs(self._stored_study).items():
            super().set_study_system_attr(copy, key, value)
        for key, value in study.user_attrs.items():
            super().set_study_user_attr(copy, key, value)
        for trial in study.get_trials(deepcopy=False):
            super().create_new_trial(copy, trial)

    def write(self) -> None:
        """Write the trial that was begun last, as it is now; does nothing where it is written."""
        if self._begun is not None:
            trial = self.get_trial(self._begun)
            self._stored[self._begun] = self._storage.create_new_trial(self._stored_study, trial)
            self._begun = None

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self.write()  # numbers are given in the order of writing
        self._begun = begun = super().create_new_trial(study_id, template_trial)
        if template_trial is not None:
            self.write()
        return begun

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        if trial_id != self._begun:
            self._storage.set_trial_param(self._id(trial_id), param_name, param_value_internal, distribution)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        changed = super().set_trial_state_values(trial_id, state, values)
        if trial_id == self._begun:
            self.write()
        elif changed:
            with contextlib.suppress(UpdateFinishedTrialError):  # what another launch has finished stays unchanged
                return self._storage.set_trial_state_values(self._id(trial_id), state, values)
        return changed

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        if trial_id != self._begun:
            self._storage.set_trial_intermediate_value(self._id(trial_id), step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        if trial_id != self._begun:
            self._storage.set_trial_user_attr(self._id(trial_id), key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        if trial_id != self._begun:
            self._storage.set_trial_system_attr(self._id(trial_id), key, value)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, value)
        self._storage.set_study_user_attr(self._stored_study, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, key, value)
        self._storage.set_study_system_attr(self._stored_study, key, value)

    def create_new_study(self, directions: Sequence[Any], study_name: str | None = None) -> int:
        raise NotImplementedError("a mirror holds one study")

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError("studies are deleted in their storage")

    def _id(self, trial_id: int) -> int:
        """A trial's id in the storage."""
        if trial_id not in self._stored:
            number = self.get_trial_number_from_id(trial_id)
            self._stored[trial_id] = self._storage.get_trial_id_from_study_id_trial_number(self._stored_study, number)
        return self._stored[trial_id]
