"""What may vary: typed, immutable parameters of a search space, each written as one line of YAML.

alignment.llm_weight: {float: [0.1, 30], log: true}
prompt.n_prompts: {int: [1, 4]}
alignment.local_form: {choice: [topk, ot, attention]}
alignment.topk: {int: [1, 9], when: {alignment.local_form: topk}}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import SETTING_KEYS, Setting, Value
from core.errors import UserError, nearest

SHOTS = "data.shots"
"""The one searchable key that belongs to a cell and not to its setting."""

Condition = Mapping[str, tuple[Value, ...]]
"""Keys and the values they must have for a parameter to exist."""


@dataclass(frozen=True)
class FloatParameter:
    key: str
    low: float
    high: float
    log: bool = False
    when: Condition = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        return (self.low, self.high)


@dataclass(frozen=True)
class IntParameter:
    key: str
    low: int
    high: int
    log: bool = False
    when: Condition = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        return (self.low, self.high)


@dataclass(frozen=True)
class ChoiceParameter:
    key: str
    values: tuple[Value, ...]
    when: Condition = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.values


Parameter = FloatParameter | IntParameter | ChoiceParameter

KINDS = ("float", "int", "choice")
OPTIONS = ("log", "when")


def parse_parameter(key: str, spec: Any, source: str) -> Parameter:
    """Read one line of a `space:` mapping.

    Args:
        key: dotted name of what varies.
        spec: `{float: [low, high]}`, `{int: [low, high]}` or `{choice: [...]}`, with `log` and `when`.
        source: file and section, for error messages.

    Raises:
        UserError: an unknown key or option, a wrong type, reversed bounds, or a bound the setting would refuse.
    """
    place = f"{source}.{key}"
    if key not in SETTING_KEYS and key != SHOTS:
        raise UserError(f"{source}: unknown key '{key}'{nearest(key, [*SETTING_KEYS, SHOTS])}")
    if not isinstance(spec, dict):
        raise UserError(f"{place}: expected {{float|int: [low, high]}} or {{choice: [...]}}, found {spec!r}")
    kinds = [kind for kind in KINDS if kind in spec]
    for option in spec:
        if option not in (*KINDS, *OPTIONS):
            raise UserError(f"{place}: unknown option '{option}'{nearest(str(option), (*KINDS, *OPTIONS))}")
    if len(kinds) != 1:
        raise UserError(f"{place}: needs exactly one of float, int, choice")
    when = _condition(spec.get("when", {}), place)
    parameter = _build(key, kinds[0], spec, when, place)
    _check_ends(parameter, place)
    return parameter


def _build(key: str, kind: str, spec: dict[str, Any], when: Condition, place: str) -> Parameter:
    given = spec[kind]
    if not isinstance(given, list) or not given:
        raise UserError(f"{place}: {kind} needs a list, found {given!r}")
    log = spec.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{place}.log: expected true or false, found {log!r}")
    if kind == "choice":
        if len(set(map(repr, given))) != len(given):
            raise UserError(f"{place}: a choice is given twice in {given}")
        if log:
            raise UserError(f"{place}: log applies to float and int, not to choice")
        return ChoiceParameter(key, tuple(given), when)
    number = (int,) if kind == "int" else (int, float)
    if len(given) != 2 or any(isinstance(end, bool) or not isinstance(end, number) for end in given):
        raise UserError(f"{place}: {kind} needs [low, high] as two {kind} numbers, found {given}")
    low, high = given
    if low >= high:
        raise UserError(f"{place}: bounds are reversed or equal, [{low}, {high}]; write [low, high] with low < high")
    if log and low <= 0:
        raise UserError(f"{place}: log needs low > 0, found {low}")
    return IntParameter(key, low, high, log, when) if kind == "int" else FloatParameter(key, low, high, log, when)


def _condition(when: Any, place: str) -> Condition:
    if not isinstance(when, dict):
        raise UserError(f"{place}.when: expected {{key: value}}, found {when!r}")
    for key in when:
        if key not in SETTING_KEYS:
            raise UserError(f"{place}.when: unknown key '{key}'{nearest(str(key), SETTING_KEYS)}")
    return {key: tuple(values) if isinstance(values, list) else (values,) for key, values in when.items()}


def _check_ends(parameter: Parameter, place: str) -> None:
    """A bound that the setting itself refuses is an error of the file, found before anything runs."""
    for end in parameter.ends:
        if parameter.key == SHOTS:
            if isinstance(end, bool) or not isinstance(end, int) or end < 1:
                raise UserError(f"{place}: shots are whole numbers of at least 1, found {end!r}")
        else:
            Setting().with_values({parameter.key: end}, source=place)
