"""Where a search begins: published methods, given values, or what an earlier sweep selected, as points of its space."""

from collections.abc import Collection, Mapping
from typing import Any

from dualpt.core.config.activity import active_values
from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError, nearest
from dualpt.core.presets import METHODS, method_setting
from dualpt.core.recipes import resolve_recipe
from dualpt.search_spaces.parameters import SHOTS
from dualpt.search_spaces.points import StartPoint, existing, resolve
from dualpt.search_spaces.search_section import SWEEP
from dualpt.search_spaces.sweep import LoadedSweep


def declared_start_points(sweep: LoadedSweep, source: str) -> tuple[StartPoint, ...]:
    """The start points that the file alone determines: methods and given values.

    Raises:
        UserError: an unknown method or key, or a point outside the space.
    """
    assert sweep.file.search is not None
    points = []
    for entry in sweep.file.search.start_from:
        if entry == {}:
            raise UserError(f"{source}: {{}} gives no value; give a method, sweep:NAME or {{key: value}}")
        if isinstance(entry, dict):
            label = ", ".join(f"{key}: {value}" for key, value in entry.items())
            points.append(start_point(sweep, label, _given(sweep, entry, source), source, entry.get(SHOTS)))
        elif not entry.startswith(SWEEP):
            if entry not in METHODS:
                hint = nearest(entry, METHODS) or "; give a method, sweep:NAME or {key: value}"
                raise UserError(f"{source}: unknown method '{entry}'{hint}")
            points.append(
                start_point(
                    sweep, entry, method_setting(entry, sweep.file.base_values(), sweep.file.grid.protocol), source
                )
            )
        elif not entry.removeprefix(SWEEP):
            raise UserError(f"{source}: '{entry}' names no sweep; write sweep:NAME")
    return tuple(points)


def start_point(sweep: LoadedSweep, label: str, wanted: Setting, source: str, shots: Any = None) -> StartPoint:
    """A setting as a point of the sweep's space.

    Args:
        shots: where shots are searched; the grid's most by default.

    Raises:
        UserError: the search cannot propose it; the line names the key and its value.
    """
    place = f"{source}: {label}"
    if wanted.method != sweep.reference.method:
        raise UserError(f"{place}: method is {wanted.method} there and {sweep.reference.method} in this sweep")
    wanted = _with_recipe(wanted, {parameter.key for parameter in sweep.space})
    values: dict[str, Value] = {**wanted.flat(), SHOTS: shots or sweep.base()[SHOTS]}
    for parameter in sweep.space:
        if parameter.key not in (SHOTS, *active_values(wanted)) and not parameter.contains(values[parameter.key]):
            values[parameter.key] = parameter.ends[0]  # it is switched off there: any value will do
    point = existing(sweep.space, sweep.base(), values)
    for parameter in sweep.space:
        if parameter.key in point and not parameter.contains(point[parameter.key]):
            raise UserError(
                f"{place}: {parameter.key} is {point[parameter.key]} there, outside the space ({parameter.bounds}); "
                f"give another value, or widen search.space.{parameter.key}"
            )
    reached, _ = resolve(point, sweep.reference)
    if active_values(reached) != active_values(wanted):
        there, here = wanted.flat(), reached.flat()
        key = next(key for key in {**active_values(wanted), **active_values(reached)} if there[key] != here[key])
        raise UserError(f"{place}: {key} is {there[key]} there and {here[key]} in this sweep; search it, or set it")
    if (constraint := sweep.violated({**sweep.base(), **point})) is not None:
        raise UserError(f"{place}: violates '{constraint.text}'")
    return StartPoint(label, point)


def _with_recipe(setting: Setting, searched: Collection[str]) -> Setting:
    """A setting with those searched keys filled that it leaves to its recipe: a candidate has a value for each."""
    # Neither depends on the dataset; epochs do, and stay with the recipe.
    recipe = resolve_recipe(setting.optim.recipe, dataset="", shots=1, n_images=1)
    from_recipe = {"optim.learning_rate": recipe.learning_rate, "optim.batch_size": recipe.batch_size}
    left_open = {key for key, value in setting.flat().items() if value is None}
    return setting.with_values({key: from_recipe[key] for key in from_recipe.keys() & searched & left_open})


def _given(sweep: LoadedSweep, values: Mapping[str, Any], source: str) -> Setting:
    """The reference with given values, which must be searched keys."""
    searched = {parameter.key for parameter in sweep.space}
    for key in values:
        if key not in searched:
            raise UserError(
                f"{source}: '{key}' is not searched{nearest(key, searched)}; start points give searched keys"
            )
    return sweep.reference.with_values({k: v for k, v in values.items() if k != SHOTS}, source=source)
