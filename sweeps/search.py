"""Candidates of a sweep, proposed by Optuna: ask, tell, and go on where an earlier launch stopped. The only module that
imports Optuna.

A study is bound to its sweep by name. What Optuna cannot do by itself is added here: a killed launch's trials are
proposed again, repeated settings are not trained again, and a changed space starts a new study.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from core.config import Setting, Value
from core.errors import UserError
from core.fingerprint import fingerprint
from search_spaces.parameters import SHOTS, ChoiceParameter, FloatParameter, IntParameter, Parameter
from search_spaces.sweep_file import LoadedSweep, Search
from sweeps.records import setting_hash
from sweeps.stores import absolute_uri, is_new, sqlite_path

NAME, IDENTITY, REPEATS = "name", "identity", "repeats"
"""Attributes of an Optuna trial: the candidate's name, hash of its setting, and the name of an earlier equal one."""
SPACE, JUDGED = "space", "judged"
"""Attributes of the study: hashes of what is searched, and of the cells that candidates are judged on."""
REPEATS_IN_A_ROW = 30
"""After so many proposals of known settings the space counts as exhausted."""


@dataclass(frozen=True)
class Proposal:
    """A candidate setting."""

    number: int
    """Optuna's number of the trial."""
    name: str
    """`trial-001`; kept when the candidate is proposed again after an interruption."""
    setting: Setting
    shots: int | None
    """The shots it is judged at, where they are searched."""


class Candidates:
    """The search of one sweep: what to try next, and what came of it."""

    def __init__(self, sweep: LoadedSweep, search: Search, judged: Sequence[str]) -> None:
        """Open or create the study, and queue again what an earlier launch left unfinished or failed.

        Args:
            sweep: the sweep file.
            search: its search section.
            judged: what identifies the judged part of the grid; when it changes, candidates are judged again.

        Raises:
            UserError: the study's storage cannot be used.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._sweep, self._search = sweep, search
        self._study = _open_study(sweep, search, fingerprint(list(judged)))
        self._exhausted = False
        self._queue_unfinished()

    @property
    def total(self) -> int:
        """Candidates that will have been judged in the end."""
        return len(self._names()) if self._exhausted else max(self._search.trials, len(self._names()))

    def ask(self) -> Proposal | None:
        """The next candidate, or None when all have been proposed or the space holds no further setting."""
        for attempt in range(REPEATS_IN_A_ROW):
            waiting = any(trial.state == TrialState.WAITING for trial in self._trials())
            if not waiting and len(self._names()) >= self._search.trials:
                return None
            self._study.sampler = self._sampler(surprising=attempt > 0)
            proposal = self._propose()
            if proposal is not None:
                return proposal
        self._exhausted = True
        return None

    def tell(self, proposal: Proposal, value: float | None) -> None:
        """Report a judged candidate.

        Args:
            value: the objective, in percent; None where some cell failed.
        """
        if value is None or not math.isfinite(value):
            self._finish(proposal.number, None)
        else:
            self._finish(proposal.number, [value] if proposal.shots is None else [value, float(proposal.shots)])

    def selected(self) -> list[Proposal]:
        """The best candidate, or with searched shots the Pareto front from few to many; empty if all failed."""
        if not any(trial.state == TrialState.COMPLETE for trial in self._trials()):
            return []
        if not self._sweep.file.searches_shots:
            return [self._as_proposal(self._study.best_trial)]
        by_shots = {front.shots: front for front in map(self._as_proposal, reversed(self._study.best_trials))}
        return [by_shots[shots] for shots in sorted(by_shots, key=lambda shots: shots or 0)]

    def judged(self) -> dict[str, float]:
        """Mean validation accuracy of every candidate that was judged, by name."""
        complete = [t for t in self._trials() if t.state == TrialState.COMPLETE and NAME in t.user_attrs]
        return {trial.user_attrs[NAME]: trial.values[0] for trial in complete}

    def _propose(self) -> Proposal | None:
        """Ask Optuna once; None where it proposed a setting that is known already, which is told at once."""
        trial = self._study.ask()
        name = trial.user_attrs.get(NAME) or f"trial-{len(self._names()) + 1:03d}"
        values = self._suggest(trial)
        setting, shots = self._resolve(values)
        identity = fingerprint([setting_hash(setting), shots])[:16]
        earlier = self._earlier(identity, name)
        if earlier is not None:
            trial.set_user_attr(REPEATS, earlier.user_attrs[NAME])
            self._finish(trial.number, earlier.values)
            return None
        trial.set_user_attr(IDENTITY, identity)
        trial.set_user_attr(NAME, name)
        return Proposal(trial.number, name, setting, shots)

    def _suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        """Suggest the parameters whose conditions hold, in the order in which they depend on one another."""
        values: dict[str, Value] = {}
        for parameter in self._sweep.space:
            if _exists(parameter, self._sweep.reference, values):
                values[parameter.key] = _suggest_one(trial, parameter)
        return values

    def _resolve(self, values: Mapping[str, Value]) -> tuple[Setting, int | None]:
        shots = values.get(SHOTS)
        chosen = {key: value for key, value in values.items() if key != SHOTS}
        setting = self._sweep.reference.with_values(chosen, source="proposed candidate")
        return setting, None if shots is None else int(shots)

    def _earlier(self, identity: str, name: str) -> FrozenTrial | None:
        """Another candidate with the same setting: the judged one if there is one."""
        known = [t for t in self._trials() if t.user_attrs.get(IDENTITY) == identity and t.user_attrs[NAME] != name]
        judged = [trial for trial in known if trial.state == TrialState.COMPLETE]
        return next(iter(judged or known), None)

    def _as_proposal(self, trial: FrozenTrial) -> Proposal:
        setting, shots = self._resolve(trial.params)
        return Proposal(trial.number, trial.user_attrs.get(NAME) or trial.user_attrs[REPEATS], setting, shots)

    def _sampler(self, surprising: bool) -> BaseSampler:
        """A sampler seeded for this proposal, so that the same history gives the same proposal.

        A search shorter than TPE's usual ten random trials would be a random one: a third of it is random instead.
        """
        seed = self._search.seed * 100_003 + len(self._study.get_trials(deepcopy=False))
        if surprising or self._search.sampler == "random":
            return RandomSampler(seed)
        startup = max(3, min(10, self._search.trials // 3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                seed=seed,
                n_startup_trials=startup,
                multivariate=not self._sweep.file.searches_shots,
                constant_liar=True,
            )

    def _queue_unfinished(self) -> None:
        """Fail what a killed launch left running, and propose again, by name, all that have no value."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING:
                self._finish(trial.number, None)
        trials = [trial for trial in self._trials() if NAME in trial.user_attrs]
        settled = {t.user_attrs[NAME] for t in trials if t.state in (TrialState.COMPLETE, TrialState.WAITING)}
        for trial in trials:
            if trial.user_attrs[NAME] not in settled:
                settled.add(trial.user_attrs[NAME])
                self._study.enqueue_trial(dict(trial.params), {NAME: trial.user_attrs[NAME]})

    def _finish(self, number: int, values: Sequence[float] | None) -> None:
        """Complete a trial, or fail it without values; what another launch has finished stays as it is."""
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        self._study.tell(number, values, state=state, skip_if_finished=True)

    def _names(self) -> set[str]:
        return {trial.user_attrs[NAME] for trial in self._trials() if NAME in trial.user_attrs}

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def _suggest_one(trial: optuna.Trial, parameter: Parameter) -> Value:
    match parameter:
        case FloatParameter(key=key, low=low, high=high, log=log):
            return trial.suggest_float(key, low, high, log=log)
        case IntParameter(key=key, low=low, high=high, log=log):
            return trial.suggest_int(key, low, high, log=log)
        case ChoiceParameter(key=key, values=values):
            return trial.suggest_categorical(key, values)


def _exists(parameter: Parameter, reference: Setting, values: Mapping[str, Value]) -> bool:
    """Whether a parameter's condition holds, given what has been suggested so far."""
    current = {**reference.flat(), **values}
    return all(current[key] in allowed for key, allowed in parameter.when.items())


def _contains(parameter: Parameter, value: Value) -> bool:
    if isinstance(parameter, ChoiceParameter):
        return value in parameter.values
    return isinstance(value, (int, float)) and parameter.low <= value <= parameter.high


def _open_study(sweep: LoadedSweep, search: Search, judged: str) -> optuna.Study:
    """Load the sweep's study. One with another space is set aside; one judged on other cells is judged anew."""
    storage = _open_storage(sweep.file.run.study_storage)
    space = _space_fingerprint(sweep)
    study = _load(sweep, storage)
    known = study.user_attrs
    if not known:
        _bind(study, space, judged)
        _enqueue_reference(study, sweep)
        return study
    if known[SPACE] == space and known[JUDGED] == judged:
        return study
    before = study.get_trials(deepcopy=False)
    _set_aside(study, storage)
    study = _load(sweep, storage)
    _bind(study, space, judged)
    if known[SPACE] == space:
        _enqueue_again(study, before)
    else:
        _enqueue_reference(study, sweep)
    return study


def study_fits(sweep: LoadedSweep, judged: Sequence[str]) -> bool:
    """Whether the study on record searched this space on these judged cells; nothing is created.

    Raises:
        UserError: the study's storage cannot be used.
    """
    if is_new(sweep.file.run.study_storage):
        return False
    try:
        study = optuna.load_study(study_name=sweep.file.name, storage=_open_storage(sweep.file.run.study_storage))
    except KeyError:  # no study of this name
        return False
    known = study.user_attrs
    return known.get(SPACE) == _space_fingerprint(sweep) and known.get(JUDGED) == fingerprint(list(judged))


def parameter_importances(name: str, storage: str) -> tuple[dict[str, float], int]:
    """Which parameters of a search mattered: Optuna's PED-ANOVA of validation accuracy.

    Conditional parameters count where they exist. Source: Watanabe et al., PED-ANOVA, IJCAI 2023.

    Args:
        name: of the sweep, which its study shares.
        storage: of the study.

    Returns:
        Parameter -> share of what they account for together, and the number of candidates behind it.

    Raises:
        UserError: no such storage or study, or fewer than two judged candidates.
    """
    if is_new(storage):
        raise UserError(f"{storage}: no such study storage here; name one with --study")
    try:
        study = optuna.load_study(study_name=name, storage=_open_storage(storage))
    except KeyError:
        raise UserError(f"no search named '{name}' in {storage}; name another storage with --study") from None
    judged = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len(judged) < 2:
        raise UserError(f"search '{name}' has {len(judged)} judged candidates; importances need several")
    try:
        shares = optuna.importance.get_param_importances(study, target=lambda trial: trial.values[0])
    except (ValueError, RuntimeError) as error:
        raise UserError(f"search '{name}': Optuna finds no importances ({str(error).splitlines()[0]})") from None
    return shares, len(judged)


def _space_fingerprint(sweep: LoadedSweep) -> str:
    return fingerprint([setting_hash(sweep.reference), [repr(parameter) for parameter in sweep.space]])


def _open_storage(uri: str) -> optuna.storages.RDBStorage:
    uri = absolute_uri(uri)
    path = sqlite_path(uri)
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.RDBStorage(uri)
    except (OSError, SQLAlchemyError, ImportError, RuntimeError, optuna.exceptions.OptunaError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"run.study_storage: {uri} cannot be used ({reason}); use a file such as sqlite:///optuna.db"
        ) from None


def _load(sweep: LoadedSweep, storage: optuna.storages.RDBStorage) -> optuna.Study:
    """With searched shots there are two objectives: no single one may let the search buy accuracy with shots."""
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [up, down] if sweep.file.searches_shots else [up]
    return optuna.create_study(storage=storage, study_name=sweep.file.name, directions=directions, load_if_exists=True)


def _bind(study: optuna.Study, space: str, judged: str) -> None:
    study.set_user_attr(SPACE, space)
    study.set_user_attr(JUDGED, judged)


def _set_aside(study: optuna.Study, storage: optuna.storages.RDBStorage) -> None:
    """Keep a study's history under another name."""
    taken = set(optuna.get_all_study_names(storage))
    number = next(n for n in range(1, len(taken) + 2) if f"{study.study_name} (before {n})" not in taken)
    optuna.copy_study(
        from_study_name=study.study_name,
        from_storage=storage,
        to_storage=storage,
        to_study_name=f"{study.study_name} (before {number})",
    )
    optuna.delete_study(study_name=study.study_name, storage=storage)


def _enqueue_again(study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
    """Propose earlier candidates again under their names: their finished cells are reused, the others trained."""
    named = {t.user_attrs[NAME]: t for t in trials if t.params and NAME in t.user_attrs}
    for name, trial in sorted(named.items()):
        study.enqueue_trial(dict(trial.params), {NAME: name})


def _enqueue_reference(study: optuna.Study, sweep: LoadedSweep) -> None:
    """Let the sweep's own defaults be the first candidate, where the space contains them.

    The selected setting is then never worse in validation than what it set out from.
    """
    reference: dict[str, Any] = {**sweep.reference.flat(), SHOTS: sweep.file.grid.shots[-1]}
    existing = [parameter for parameter in sweep.space if _exists(parameter, sweep.reference, {})]
    if all(_contains(parameter, reference[parameter.key]) for parameter in existing):
        study.enqueue_trial({parameter.key: reference[parameter.key] for parameter in existing})
