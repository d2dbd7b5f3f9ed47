"""What methods and columns are called in tables and figures, and the order they stand in.

A method's name is that of its trial: a published method, a variant of an ablation, or `best`. Where two compared sweeps
have trials of one name, their names end in the sweep: `best [first]`, `best [second]`.
"""

import re
from collections.abc import Iterable, Mapping

from dualpt.core.data.catalog import dataset_title
from dualpt.core.errors import UserError, nearest
from dualpt.core.method_catalog import CATALOGUE, ZERO_SHOT
from dualpt.core.presets import METHODS
from dualpt.sweeps.records import MethodTitle

BEST = "best"
"""Kind (and name) of the trial that runs the selected setting over the whole grid."""
AVERAGE = "average"
"""The column over datasets."""

_SELECTED = re.compile(rf"{BEST}(?:-(\d+)-shot)?")
"""Names of the trials of kind `best`: with searched shots, one for each number of shots."""
_OF_SWEEP = re.compile(r"(?P<trial>.+) \[(?P<sweep>[^\[\]]+)\]")


SETTINGS = "settings"
"""The group of what a sweep or an ablation declared and selected."""
GROUPS = {
    "zero-shot": "zero-shot",
    "training-free": "training-free",
    "adapter": "adapters",
    "prompt": "learned prompts",
    SETTINGS: "settings of this sweep",
}
"""Group of methods -> what tables call it, in their order."""

_OWN_TITLES: dict[str, str] = {}
"""Titles of users' own datasets, as recorded with the sweeps read so far: tables are made without a data root."""
_OWN_METHODS: dict[str, MethodTitle] = {}
"""Of users' own methods, likewise: tables are made without their files."""


def of_sweep(trial: str, sweep: str) -> str:
    """The name of a trial, distinguished from its namesake in another sweep."""
    return f"{trial} [{sweep}]"


def trial_of(name: str) -> str:
    """The trial's own name, without its sweep."""
    match = _OF_SWEEP.fullmatch(name)
    return match["trial"] if match else name


def method_title(name: str) -> str:
    """The name a table shows."""
    trial = trial_of(name)
    title = METHODS[trial].title if trial in METHODS else _own(trial).title
    return (_selected_title(trial, "best of the sweep") or title) + name.removeprefix(trial)


def short_title(name: str) -> str:
    """The name at the head of a narrow column."""
    trial = trial_of(name)
    title = METHODS[trial].short_title if trial in METHODS else _own(trial).short_title
    return (_selected_title(trial, "best of sweep") or title) + name.removeprefix(trial)


def _own(trial: str) -> MethodTitle:
    return _OWN_METHODS.get(trial, MethodTitle(trial, trial, SETTINGS))


def group_of(name: str) -> str:
    """The group of a method, one of `GROUPS`."""
    trial = trial_of(name)
    if trial in CATALOGUE:
        return CATALOGUE[trial].group
    if trial in METHODS:
        return "zero-shot" if trial in ZERO_SHOT else "prompt"
    return _own(trial).group


def _selected_title(trial: str, title: str) -> str | None:
    """The title of a selected setting, with its number of shots where that was searched; None for other methods."""
    selected = _SELECTED.fullmatch(trial)
    if selected is None:
        return None
    shots = selected[1]
    return title if shots is None else f"{title} ({shots} shot{'s' * (shots != '1')})"


def is_selected(name: str) -> bool:
    """Whether a method is the setting that a search selected."""
    return _SELECTED.fullmatch(trial_of(name)) is not None


def ordered_methods(names: Iterable[str]) -> tuple[str, ...]:
    """Published order first, each user's own method at the end of its group, then named settings in the order recorded,
    the selected ones last, by their shots."""
    recorded = list(dict.fromkeys(names))
    known = [name for method in METHODS for name in recorded if trial_of(name) == method]
    selected = {name: int(match[1] or 0) for name in recorded if (match := _SELECTED.fullmatch(trial_of(name)))}
    other = [name for name in recorded if name not in known and name not in selected]
    ordered = (*known, *other, *sorted(selected, key=lambda name: selected[name]))
    return tuple(sorted(ordered, key=lambda name: list(GROUPS).index(group_of(name))))


def find_method(word: str, names: Iterable[str], option: str) -> str:
    """The method that a user means by its name or its title, whatever the case.

    Raises:
        UserError: none of them; the nearest is named.
    """
    by_word = {alias.casefold(): name for name in names for alias in (short_title(name), method_title(name), name)}
    found = by_word.get(word.casefold())
    if found is None:
        titles = {method_title(name): None for name in names}
        hint = nearest(word, by_word)
        raise UserError(f"{option}: no method '{word}' in this table{hint} (there are: {', '.join(titles)})")
    return found


def column_title(column: str) -> str:
    """The head of a dataset's column, or of the average's."""
    if column == AVERAGE:
        return "Average"
    title = dataset_title(column)
    return _OWN_TITLES.get(column, title) if title == column else title


def remember_titles(datasets: Mapping[str, str], methods: Mapping[str, MethodTitle]) -> None:
    """Have tables use the titles that a sweep recorded of the user's own datasets and methods."""
    _OWN_TITLES.update(datasets)
    _OWN_METHODS.update(methods)
