"""Where a search begins: published methods, given values, or what an earlier sweep selected, as points of its space."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.config import SETTING_KEYS, Setting, Value
from core.errors import UserError, nearest
from core.methods import METHODS, method_setting
from search_spaces.parameters import SHOTS
from search_spaces.points import Point, existing, resolve
from search_spaces.search_section import SWEEP

if TYPE_CHECKING:
    from search_spaces.sweep_file import LoadedSweep


@dataclass(frozen=True)
class StartPoint:
    """A candidate to begin with."""

    label: str
    """As the file names it."""
    point: Point


def declared_start_points(sweep: "LoadedSweep", source: str) -> tuple[StartPoint, ...]:
    """The start points that the file alone determines: methods and given values.

    Raises:
        UserError: an unknown method or key, or a point outside the space.
    """
    assert sweep.file.search is not None
    points = []
    for entry in sweep.file.search.start_from:
        if isinstance(entry, dict):
            label = ", ".join(f"{key}: {value}" for key, value in entry.items())
            points.append(start_point(sweep, label, _given(sweep, entry, source), source, entry.get(SHOTS)))
        elif not entry.startswith(SWEEP):
            if entry not in METHODS:
                hint = nearest(entry, METHODS) or "; give a method, sweep:NAME or {key: value}"
                raise UserError(f"{source}: unknown method '{entry}'{hint}")
            points.append(start_point(sweep, entry, method_setting(entry, sweep.file.base_values()), source))
        elif not entry.removeprefix(SWEEP):
            raise UserError(f"{source}: '{entry}' names no sweep; write sweep:NAME")
    return tuple(points)


def start_point(sweep: "LoadedSweep", label: str, wanted: Setting, source: str, shots: Any = None) -> StartPoint:
    """A setting as a point of the sweep's space.

    Args:
        shots: where shots are searched; the grid's most by default.

    Raises:
        UserError: the search cannot propose it; the line names the key and its value.
    """
    place = f"{source}: {label}"
    values: dict[str, Value] = {**wanted.flat(), SHOTS: shots or sweep.base()[SHOTS]}
    point = existing(sweep.space, sweep.base(), values)
    for parameter in sweep.space:
        if parameter.key in point and not parameter.contains(point[parameter.key]):
            allowed = f"{list(parameter.ends)}" if parameter.listed is None else f"one of {list(parameter.listed)[:20]}"
            raise UserError(
                f"{place}: {parameter.key} is {point[parameter.key]} there, outside the space ({allowed}); widen it"
            )
    reached, _ = resolve(point, sweep.reference)
    for key in SETTING_KEYS:
        there, here = wanted.active().get(key), reached.active().get(key)
        if there != here:
            raise UserError(f"{place}: {key} is {there} there and {here} in this sweep; search it, or set it")
    if (constraint := sweep.violated({**sweep.base(), **point})) is not None:
        raise UserError(f"{place}: violates '{constraint.text}'")
    return StartPoint(label, point)


def _given(sweep: "LoadedSweep", values: Mapping[str, Any], source: str) -> Setting:
    """The reference with given values, which must be searched keys."""
    searched = {parameter.key for parameter in sweep.space}
    for key in values:
        if key not in searched:
            raise UserError(
                f"{source}: '{key}' is not searched{nearest(key, searched)}; start points give searched keys"
            )
    return sweep.reference.with_values({k: v for k, v in values.items() if k != SHOTS}, source=source)
