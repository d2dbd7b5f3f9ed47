"""Points of a space: drawn at random, listed one by one, and turned into settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import assert_never

from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.search_spaces.parameters import SHOTS, ChoiceParameter, FloatParameter, IntParameter, Parameter

Point = dict[str, Value]
"""A value for each parameter whose condition holds, by dotted key."""


@dataclass(frozen=True)
class StartPoint:
    """A candidate to begin with."""

    label: str
    """As the file names it."""
    point: Point


def exists(parameter: Parameter, base: Mapping[str, Value], values: Mapping[str, Value]) -> bool:
    """Whether a parameter's condition holds.

    Args:
        base: all values of the setting that the search varies.
        values: what has been chosen so far.
    """
    return all(values.get(key, base[key]) in allowed for key, allowed in parameter.when.items())


def existing(space: Sequence[Parameter], base: Mapping[str, Value], wanted: Mapping[str, Value]) -> Point:
    """The part of `wanted` that is a point of the space: keys whose conditions do not hold are left out."""
    point: Point = {}
    for parameter in space:
        if exists(parameter, base, point):
            point[parameter.key] = wanted[parameter.key]
    return point


def draw(space: Sequence[Parameter], base: Mapping[str, Value], random: Random) -> Point:
    """A random point: uniform in each parameter, or in its logarithm."""
    point: Point = {}
    for parameter in space:
        if exists(parameter, base, point):
            point[parameter.key] = _draw_one(parameter, random)
    return point


def list_points(space: Sequence[Parameter], base: Mapping[str, Value]) -> Iterator[Point]:
    """Every point of a space whose parameters can all be listed."""
    return _continued(space, base, {})


def resolve(point: Mapping[str, Value], reference: Setting) -> tuple[Setting, int | None]:
    """The setting that a point stands for, and the shots where they are searched."""
    shots = point.get(SHOTS)
    chosen = {key: value for key, value in point.items() if key != SHOTS}
    return reference.with_values(chosen, source="candidate"), None if shots is None else int(shots)


def _continued(space: Sequence[Parameter], base: Mapping[str, Value], begun: Point) -> Iterator[Point]:
    if not space:
        yield begun
        return
    first, *others = space
    if not exists(first, base, begun):
        yield from _continued(others, base, begun)
        return
    for value in first.listed or ():
        yield from _continued(others, base, {**begun, first.key: value})


def _draw_one(parameter: Parameter, random: Random) -> Value:
    match parameter:
        case ChoiceParameter(values=values):
            return random.choice(values)
        case IntParameter(low=low, high=high, log=True):
            return min(high, max(low, round(math.exp(random.uniform(math.log(low - 0.5), math.log(high + 0.5))))))
        case FloatParameter(low=low, high=high, log=True):
            return min(high, max(low, math.exp(random.uniform(math.log(low), math.log(high)))))
        case FloatParameter(low=low, high=high, step=None):
            return random.uniform(low, high)
        case IntParameter() | FloatParameter():
            return random.choice(parameter.listed or ())
        case _:
            assert_never(parameter)
