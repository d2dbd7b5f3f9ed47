"""Candidates of a sweep, proposed by Optuna: ask, report, tell, and go on where an earlier launch stopped.

A study is bound to its sweep by name. What Optuna cannot do by itself is added here: a killed launch's trials are
proposed again, repeated settings are not trained again, constraints hold, and candidates that a race has given up can
be taken up again. One launch at a time uses a study.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import assert_never

import optuna
from optuna.trial import FrozenTrial, TrialState

from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.files.fingerprint import fingerprint
from dualpt.search_spaces.listed_points import listed_points
from dualpt.search_spaces.parameters import SHOTS, ChoiceParameter, FloatParameter, IntParameter, Parameter
from dualpt.search_spaces.points import Point, StartPoint, draw, existing, exists, resolve
from dualpt.search_spaces.search_section import Search
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.records import setting_hash
from dualpt.sweeps.search.samplers import sampler_of
from dualpt.sweeps.search.studies import open_study, recorded_study
from dualpt.sweeps.search.trial_attributes import FAILURE, IDENTITY, NAME, REMOVED, REPEATS, START, STOPPED, VIOLATES

SAMPLER_TRIES = 5
"""After this many proposals in a row that are known or forbidden, random points take the sampler's place."""
DRAWS = 500
"""After this many random points without a new setting, the space counts as exhausted."""
REFERENCE = "the sweep's own setting"
"""Label of the start point that every search has."""


@dataclass(frozen=True)
class Proposal:
    """A candidate setting."""

    number: int
    """Optuna's number of the trial."""
    name: str
    """`trial-001`; kept when the candidate is proposed again after an interruption, or taken up again by a race."""
    setting: Setting
    shots: int | None
    """The shots it is judged at, where they are searched."""


class Candidates:
    """The search of one sweep: what to try next, and what came of it."""

    def __init__(
        self,
        sweep: LoadedSweep,
        search: Search,
        judged: Sequence[str],
        start_points: Sequence[StartPoint] = (),
        stopped: Collection[str] = (),
    ) -> None:
        """Open or create the study, and queue again what an earlier launch left unfinished or failed.

        Args:
            sweep: the sweep file.
            search: its search section.
            judged: what identifies the judged part of the grid; when it changes, candidates are judged again.
            start_points: candidates to begin with, after the sweep's own setting where the space contains it.
            stopped: names of the candidates that users have stopped, which are not proposed again.

        Raises:
            UserError: the study's storage cannot be used.
        """
        self._sweep, self._search, self._base = sweep, search, sweep.base()
        opened = open_study(sweep, search, fingerprint(list(judged)))
        self._study, self._write, before = opened.study, opened.write, opened.before
        self._running: dict[int, optuna.Trial] = {}
        self._exhausted = False
        self._stopped = stopped
        self._listed = listed_points(sweep)
        if before:
            self._queue_again(before)
        else:
            self._queue_unfinished()
        self._names = {trial.user_attrs[NAME] for trial in self._trials() if NAME in trial.user_attrs} | set(stopped)
        self._removed = {trial.user_attrs[REMOVED] for trial in self._trials() if REMOVED in trial.user_attrs}
        self._by_identity: dict[str, str] = {}
        for trial in self._trials():
            if IDENTITY in trial.user_attrs:
                self._by_identity.setdefault(trial.user_attrs[IDENTITY], trial.user_attrs[NAME])
        if not before:
            self._queue_start_points([*self._reference(), *start_points])

    @property
    def total(self) -> int:
        """Candidates that will have been judged, or given up, in the end."""
        return len(self._names) if self._exhausted else max(self._search.trials, len(self._names))

    def ask(self) -> Proposal | None:
        """The next candidate, or None when all have been proposed or the space holds no further setting."""
        tries = 0
        while not self._exhausted:
            if not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                if len(self._names) >= self._search.trials or not self._can_propose(tries):
                    return None
                tries += 1
            proposal = self._propose()
            if proposal is not None:
                return proposal
        return None

    def report(self, proposal: Proposal, step: int, value: float) -> None:
        """Report the mean validation accuracy, in percent, over the first `step` datasets; once for each step."""
        if not self._sweep.file.searches_shots:  # Optuna knows intermediate values of single objectives only
            self._running[proposal.number].report(value, step)

    def tell(self, proposal: Proposal, value: float | None, failure: str | None = None) -> None:
        """Report a judged candidate.

        Args:
            value: the objective, in percent; None where some cell failed.
            failure: why it failed.
        """
        if value is None or not math.isfinite(value):
            if proposal.number in self._running:
                self._running[proposal.number].set_user_attr(FAILURE, failure or "no validation accuracy")
            self._finish(proposal.number, TrialState.FAIL)
        else:
            values = [value] if proposal.shots is None else [value, float(proposal.shots)]
            self._finish(proposal.number, TrialState.COMPLETE, values)

    def prune(self, proposal: Proposal) -> None:
        """Give a candidate up for now, with the values reported so far."""
        self._finish(proposal.number, TrialState.PRUNED)

    def stop(self, proposal: Proposal) -> None:
        """End a candidate that a user has stopped: pruned where a dataset of it was reported, failed where none was.

        Samplers learn from a pruned trial by its last report, and leave a failed one out. One that is pruned without
        any report counts as worse than all others, and nobody has measured that.
        """
        self._running[proposal.number].set_user_attr(STOPPED, True)
        measured = self._trials()[proposal.number].intermediate_values
        self._finish(proposal.number, TrialState.PRUNED if measured else TrialState.FAIL)

    def enqueue(self, start: StartPoint) -> bool:
        """Propose a candidate of a user's before any other; False where this very request has been queued before."""
        if any(trial.user_attrs.get(START) == start.label for trial in self._trials()):
            return False
        self._study.enqueue_trial(dict(start.point), {START: start.label})
        self._exhausted = False
        return True

    def take_up(self, name: str) -> None:
        """Propose a candidate again that was given up."""
        self._study.enqueue_trial(dict(self._latest()[name].params), {NAME: name})

    def pruned(self) -> list[str]:
        """Names of the candidates that are given up."""
        return [name for name in _pruned(self._latest()) if name not in self._stopped]

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

    def _can_propose(self, tries: int) -> bool:
        """Make ready for Optuna's next trial: by the sampler, or by queueing a listed point or a random one."""
        if self._listed is None and tries < SAMPLER_TRIES:
            multivariate = not self._sweep.file.searches_shots
            # By candidates, not by trials: those that a kill adds to the study must not change what comes.
            number = len(self._names | self._removed) * SAMPLER_TRIES + tries
            self._study.sampler = sampler_of(self._search, number=number, multivariate=multivariate)
            return True
        points = self._random_points(tries) if self._listed is None else self._listed
        for point in points:
            if self._identity(*resolve(point, self._sweep.reference)) not in self._by_identity:
                self._study.enqueue_trial(dict(point))
                return True
        self._exhausted = True
        return False

    def _random_points(self, tries: int) -> Iterator[Point]:
        random = Random(f"{self._search.seed} {len(self._names)} {tries}")
        for _ in range(DRAWS):
            point = draw(self._sweep.space, self._base, random)
            if self._sweep.violated({**self._base, **point}) is None:
                yield point

    def _propose(self) -> Proposal | None:
        """Ask Optuna once; None where it proposed a known or forbidden setting, which is reported back at once."""
        trial = self._study.ask()
        name = trial.user_attrs.get(NAME) or self._new_name()
        point = self._suggest(trial)
        if (constraint := self._sweep.violated({**self._base, **point})) is not None:
            trial.set_user_attr(VIOLATES, constraint.text)
            self._finish(trial.number, TrialState.FAIL)
            return None
        setting, shots = resolve(point, self._sweep.reference)
        identity = self._identity(setting, shots)
        if (earlier := self._by_identity.setdefault(identity, name)) != name:
            self._repeat(trial, earlier)
            return None
        trial.set_user_attr(IDENTITY, identity)
        trial.set_user_attr(NAME, name)
        self._write()
        self._names.add(name)
        self._running[trial.number] = trial
        return Proposal(trial.number, name, setting, shots)

    def _new_name(self) -> str:
        """The next that no candidate has or had; one that was removed leaves its number free for good."""
        taken = self._names | self._removed
        return next(name for n in count(len(taken) + 1) if (name := f"trial-{n:03d}") not in taken)

    def _suggest(self, trial: optuna.Trial) -> Point:
        """Suggest the parameters whose conditions hold, in the order in which they depend on one another."""
        values: Point = {}
        for parameter in self._sweep.space:
            if exists(parameter, self._base, values):
                values[parameter.key] = parameter.settled(_suggest_one(trial, parameter))
        return values

    def _repeat(self, trial: optuna.Trial, name: str) -> None:
        """End a trial as the earlier candidate with its setting has ended, or as failed while that is in training."""
        trial.set_user_attr(REPEATS, name)
        earlier = self._latest()[name]
        if earlier.state == TrialState.COMPLETE:
            self._finish(trial.number, TrialState.COMPLETE, earlier.values)
        elif earlier.state == TrialState.PRUNED:
            for step, value in earlier.intermediate_values.items():
                trial.report(value, step)
            self._finish(trial.number, TrialState.PRUNED)
        else:
            self._finish(trial.number, TrialState.FAIL)

    @staticmethod
    def _identity(setting: Setting, shots: int | None) -> str:
        return fingerprint([setting_hash(setting), shots])[:16]

    def _as_proposal(self, trial: FrozenTrial) -> Proposal:
        proposed = {p.key: p.settled(trial.params[p.key]) for p in self._sweep.space if p.key in trial.params}
        setting, shots = resolve(proposed, self._sweep.reference)
        return Proposal(trial.number, trial.user_attrs.get(NAME) or trial.user_attrs[REPEATS], setting, shots)

    def _reference(self) -> list[StartPoint]:
        """The sweep's own defaults, where the space contains them and the constraints allow them.

        The selected setting is then never worse in validation than what it set out from.
        """
        wanted = {**self._base, SHOTS: self._sweep.file.grid.shots[-1]}
        point = existing(self._sweep.space, self._base, wanted)
        inside = all(p.contains(point[p.key]) for p in self._sweep.space if p.key in point)
        allowed = inside and self._sweep.violated({**self._base, **point}) is None
        return [StartPoint(REFERENCE, point)] if allowed else []

    def _queue_start_points(self, points: Sequence[StartPoint]) -> None:
        """Queue the start points that this study has not had yet."""
        for start in points:
            had = [trial for trial in self._trials() if trial.user_attrs.get(START) == start.label]
            if not any(t.state == TrialState.WAITING or {NAME, REPEATS, REMOVED} & set(t.user_attrs) for t in had):
                self._study.enqueue_trial(dict(start.point), {START: start.label})

    def _queue_unfinished(self) -> None:
        """Fail what a killed launch left running, and propose again, by name, all that have no value."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING:
                self._finish(trial.number, TrialState.FAIL)
        for name, trial in self._latest().items():
            restarted = trial.state == TrialState.PRUNED and STOPPED in trial.user_attrs
            if name not in self._stopped and (restarted or trial.state == TrialState.FAIL):
                self._study.enqueue_trial(dict(trial.params), {NAME: name})

    def _queue_again(self, trials: Sequence[FrozenTrial]) -> None:
        """Propose candidates of an earlier study again by name: their finished cells are reused, the others trained."""
        named = {trial.user_attrs[NAME]: trial for trial in trials if trial.params and NAME in trial.user_attrs}
        for name, trial in sorted(named.items()):
            if name in self._stopped:
                continue
            kept = {key: trial.user_attrs[key] for key in (START,) if key in trial.user_attrs}
            self._study.enqueue_trial(dict(trial.params), {NAME: name, **kept})

    def _finish(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        """End a trial; what another launch has finished stays unchanged."""
        self._study.tell(number, values, state=state, skip_if_finished=True)
        self._running.pop(number, None)

    def _latest(self) -> dict[str, FrozenTrial]:
        return _latest(self._trials())

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def study_fits(sweep: LoadedSweep, judged: Sequence[str]) -> bool:
    """Whether the study on record searched this space on these judged cells; nothing is created.

    Raises:
        UserError: the study's storage cannot be used.
    """
    return recorded_study(sweep, judged) is not None


def given_up(sweep: LoadedSweep, judged: Sequence[str]) -> list[str]:
    """Names of the candidates that a race has given up, where the study on record fits; nothing is created."""
    study = recorded_study(sweep, judged)
    return [] if study is None else _pruned(_latest(study.get_trials(deepcopy=False)))


def _latest(trials: Sequence[FrozenTrial]) -> dict[str, FrozenTrial]:
    """The last trial of each candidate, by name."""
    return {trial.user_attrs[NAME]: trial for trial in trials if NAME in trial.user_attrs}


def _pruned(latest: Mapping[str, FrozenTrial]) -> list[str]:
    return [name for name, trial in latest.items() if trial.state == TrialState.PRUNED]


def _suggest_one(trial: optuna.Trial, parameter: Parameter) -> Value:
    match parameter:
        case FloatParameter(key=key, low=low, high=high, log=log, step=step):
            return trial.suggest_float(key, low, high, log=log, step=step)
        case IntParameter(key=key, low=low, high=high, log=log, step=step):
            return trial.suggest_int(key, low, high, log=log, step=step or 1)
        case ChoiceParameter(key=key, values=values):
            return trial.suggest_categorical(key, values)
        case _:
            assert_never(parameter)
