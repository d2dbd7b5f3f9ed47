"""What may vary: typed, immutable parameters of a search space, each written as one line of YAML.

alignment.llm_weight: {float: [0.1, 30], log: true}
prompt.n_prompts: {int: [1, 4]}
inference.local_weight: {float: [0, 1], step: 0.25}
alignment.local_form: {choice: [topk, ot, attention]}
alignment.topk: {int: [1, 9], when: {alignment.local_form: topk}}
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError, nearest

SHOTS = "data.shots"
"""The one searchable key that belongs to a cell and not to its setting."""

Condition = Mapping[str, tuple[Value, ...]]
"""Keys and the values they must have for a parameter to exist."""


MOST_SHOWN = 20
"""Choices that an error line lists."""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class _Range(Generic[Number]):
    key: str
    low: Number
    high: Number
    log: bool = False
    step: Number | None = None
    """Distance of neighbouring values; None is any float, or every whole number."""
    when: Condition = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        return (self.low, self.high)

    @property
    def bounds(self) -> str:
        """What a search may propose, in words."""
        return f"[{self.low}, {self.high}]" + (f" in steps of {self.step}" if self.step else "")

    def contains(self, value: Value) -> bool:
        """Whether a search may propose the value."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        return self.step is None or _is_whole((value - self.low) / self.step)

    def settled(self, value: Value) -> Value:
        """A sampler's value as `listed` spells it."""
        return value

    def _spaced(self, step: float) -> tuple[float, ...]:
        """low, low + step, ... high."""
        return tuple(self._at(i, step) for i in range(round((self.high - self.low) / step) + 1))

    def _at(self, i: int, step: float) -> float:
        """The value i steps above `low`; rounded, so 0.1 + 2 * 0.1 is 0.3."""
        return round(self.low + i * step, 12)


class FloatParameter(_Range[float]):
    @property
    def probes(self) -> tuple[Value, ...]:
        """The ends, and a value between them with a fractional part, which a key of whole numbers refuses."""
        return (*self.ends, self.low + (self.high - self.low) / math.pi)

    @property
    def listed(self) -> tuple[Value, ...] | None:
        """All values where they can be listed; None without a step."""
        return None if self.step is None else self._spaced(self.step)

    def settled(self, value: Value) -> Value:
        """Optuna's samplers propose 0.30000000000000004 for 0.3, which would be another setting with another key."""
        if self.step is None or not isinstance(value, int | float):
            return value
        return self._at(round((value - self.low) / self.step), self.step)


class IntParameter(_Range[int]):
    @property
    def probes(self) -> tuple[Value, ...]:
        return self.ends

    @property
    def listed(self) -> tuple[Value, ...] | None:
        return tuple(map(int, self._spaced(self.step or 1)))


@dataclass(frozen=True)
class ChoiceParameter:
    key: str
    values: tuple[Value, ...]
    when: Condition = field(default_factory=dict)

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.values

    @property
    def probes(self) -> tuple[Value, ...]:
        return self.values

    @property
    def listed(self) -> tuple[Value, ...] | None:
        return self.values

    @property
    def bounds(self) -> str:
        """The values, in words."""
        shown = ", ".join(map(str, self.values[:MOST_SHOWN]))
        return f"one of {shown}" + (f" and {len(self.values) - MOST_SHOWN} more" * (len(self.values) > MOST_SHOWN))

    def contains(self, value: Value) -> bool:
        return value in self.values

    def settled(self, value: Value) -> Value:
        return value


Parameter = FloatParameter | IntParameter | ChoiceParameter

KINDS = ("float", "int", "choice")
OPTIONS = ("log", "step", "when")
MOST_VALUES = 1_000_000
"""Values of a range in steps; samplers and tables list them."""


def parse_parameter(key: str, spec: Any, source: str, reference: Setting | None = None) -> Parameter:
    """Read one line of a `space:` mapping.

    Args:
        key: dotted name of what varies.
        spec: `{float: [low, high]}`, `{int: [low, high]}` or `{choice: [...]}`, with `log`, `step` and `when`.
        source: file and section, for error messages.
        reference: the setting whose key it is; the shipped defaults where none is given.

    Raises:
        UserError: an unknown key or option, a wrong type, reversed bounds, or a bound the setting would refuse.
    """
    place, reference = f"{source}.{key}", reference or Setting()
    if key != SHOTS:
        reference.check_key(key, source, also=(SHOTS,))
    if not isinstance(spec, dict):
        raise UserError(f"{place}: expected {{float|int: [low, high]}} or {{choice: [...]}}, found {spec!r}")
    kinds = [kind for kind in KINDS if kind in spec]
    for option in spec:
        if option not in (*KINDS, *OPTIONS):
            raise UserError(f"{place}: unknown option '{option}'{nearest(option, (*KINDS, *OPTIONS))}")
    if len(kinds) != 1:
        raise UserError(f"{place}: needs exactly one of float, int, choice")
    when = _condition(spec.get("when", {}), reference, place)
    parameter = _build(key, kinds[0], spec, when, place)
    _check_values(parameter, reference, place)
    return parameter


def _build(key: str, kind: str, spec: dict[str, Any], when: Condition, place: str) -> Parameter:
    given = spec[kind]
    if not isinstance(given, list) or not given:
        raise UserError(f"{place}: {kind} needs a list, found {given!r}")
    log = spec.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{place}.log: expected true or false, found {log!r}")
    if kind == "choice":
        _check_choices(given, place)
        if log or "step" in spec:
            raise UserError(f"{place}: {'log' if log else 'step'} applies to float and int, not to choice")
        return ChoiceParameter(key, tuple(given), when)
    low, high = _bounds(given, kind, log, place)
    step = _step(spec.get("step"), low, high, log, kind == "int", place)
    if (kind == "int" or step is not None) and (high - low) / (step or 1) > MOST_VALUES:
        raise UserError(f"{place}: more than {MOST_VALUES:,} values; narrow the range, or give a larger step")
    if kind == "int":
        return IntParameter(key, int(low), int(high), log, None if step is None else int(step), when)
    return FloatParameter(key, low, high, log, step, when)


def _check_choices(given: list[Any], place: str) -> None:
    if not _are_single(given):
        raise UserError(f"{place}: a choice is a word or a number, not a list or a mapping; found {given}")
    if len(set(map(repr, given))) != len(given):
        raise UserError(f"{place}: a choice is given twice in {given}")


def _bounds(given: list[Any], kind: str, log: bool, place: str) -> tuple[float, float]:
    """Low and high; whole numbers for `int`."""
    number = (int,) if kind == "int" else (int, float)
    if len(given) != 2 or any(isinstance(end, bool) or not isinstance(end, number) for end in given):
        raise UserError(f"{place}: {kind} needs [low, high] as two {kind} numbers, found {given}")
    low, high = given
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{place}: bounds are finite numbers, found [{low}, {high}]")
    if low >= high:
        raise UserError(f"{place}: bounds are reversed or equal, [{low}, {high}]; write [low, high] with low < high")
    if log and low <= 0:
        raise UserError(f"{place}: log needs low > 0, found {low}")
    return low, high


def _step(step: Any, low: float, high: float, log: bool, whole: bool, place: str) -> float | None:
    """The distance of neighbouring values, which must lead from the low end to the high one."""
    if step is None:
        return None
    if isinstance(step, bool) or not isinstance(step, int if whole else int | float) or not 0 < step < math.inf:
        kind = "whole number" if whole else "number"
        raise UserError(f"{place}.step: expected a {kind} above 0, found {step!r}")
    if log:
        raise UserError(f"{place}: log and step exclude each other; list the values as {{choice: [...]}}")
    if not 1 <= (steps := (high - low) / step) < math.inf or not _is_whole(steps):
        raise UserError(f"{place}.step: steps of {step} do not lead from {low} to {high}")
    return float(step)


def _is_whole(ratio: float) -> bool:
    """Whether a number is whole to float precision."""
    return abs(ratio - round(ratio)) < 1e-8


def _condition(when: Any, reference: Setting, place: str) -> Condition:
    if not isinstance(when, dict):
        raise UserError(f"{place}.when: expected {{key: value}}, found {when!r}")
    allowed = {key: tuple(values) if isinstance(values, list) else (values,) for key, values in when.items()}
    for key, values in allowed.items():
        reference.check_key(key, f"{place}.when")
        if not values or not _are_single(values):
            raise UserError(f"{place}.when.{key}: expected a value or a list of values, found {when[key]!r}")
    return allowed


def _are_single(values: Iterable[Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in values)


def _check_values(parameter: Parameter, reference: Setting, place: str) -> None:
    """A value that the setting itself refuses is an error of the file, found before anything runs."""
    if parameter.key == SHOTS and isinstance(parameter, FloatParameter):
        raise UserError(f"{place}: shots are whole numbers; use int or choice")
    for value in parameter.probes:
        if parameter.key == SHOTS:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{place}: shots are whole numbers of at least 1, found {value!r}")
        else:
            reference.with_values({parameter.key: value}, source=place)
