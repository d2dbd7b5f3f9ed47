"""Faults of a whole search space: conditions that cannot hold, knobs both fixed and searched, knobs that do nothing."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, combinations

from dualpt.core.config.activity import ACTIVE_WHEN, LOCATIONS, TASK_KEYS, check_read
from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.search_spaces.parameters import SHOTS, ChoiceParameter, Parameter


def in_order(parameters: Sequence[Parameter], source: str) -> tuple[Parameter, ...]:
    """Put each parameter behind those its condition names.

    Raises:
        UserError: conditions that form a circle.
    """
    ordered: list[Parameter] = []
    waiting = list(parameters)
    searched = {parameter.key for parameter in parameters}
    while waiting:
        placed = {parameter.key for parameter in ordered}
        ready = [p for p in waiting if all(key in placed or key not in searched for key in p.when)]
        if not ready:
            raise UserError(f"{source}: conditions form a circle: {', '.join(p.key for p in waiting)}")
        ordered += ready
        waiting = [parameter for parameter in waiting if parameter not in ready]
    return tuple(ordered)


def check_space(space: Sequence[Parameter], fixed: Collection[str], reference: Setting, source: str) -> None:
    """Check every parameter against the others, the keys that the file fixes, and the setting it starts from.

    Raises:
        UserError: a parameter that is also fixed, is a location or a task, can never exist or can never matter.
    """
    for parameter in space:
        place = f"{source}: search.space.{parameter.key}"
        if parameter.key in LOCATIONS:
            raise UserError(f"{place}: a location is not searchable; set it with {parameter.key}=PATH")
        if parameter.key in TASK_KEYS:
            raise UserError(
                f"{place}: says what is to be solved, and a search would choose the easiest; set it with "
                f"{parameter.key}=VALUE, or compare its values with `dualpt ablate`"
            )
        if parameter.key in fixed:
            raise UserError(f"{place}: is searched and also fixed in 'setting'; remove one")
        for key, values in parameter.when.items():
            _check_condition(place, key, values, space, reference)
        check_read(reference, [parameter.key], f"{source}: search.space")
        if not can_matter(parameter.key, space, reference):
            raise UserError(
                f"{place}: changes nothing, because the rest of the setting switches it off; remove it, or search or "
                "set what switches it on"
            )


def check_given_read(given: Iterable[str], run: Sequence[Setting], source: str) -> None:
    """Refuse keys of learned prompts on the command line where nothing that is run learns any.

    What a file sets beside them may be for methods that an override took away.

    Args:
        given: keys of the command line.
        run: the settings that share them.

    Raises:
        UserError: naming the first of the methods and its own keys.
    """
    if run and not any(setting.learns_prompts for setting in run):
        check_read(run[0], given, source)


def can_matter(key: str, space: Sequence[Parameter], reference: Setting) -> bool:
    """Whether some corner of the space lets a key change a result: a dead knob wastes a search.

    Tried are the corners of all first and of all last ends, each with up to two parameters moved to any of their ends.
    That suffices for `ACTIVE_WHEN`: a weight is above 0 at one of its ends, and what else a key needs is two values.
    """
    ends = [[(p.key, end) for end in p.ends] for p in space if p.key != SHOTS]
    starts = [dict(each[0] for each in ends), dict(each[-1] for each in ends)]
    moves = chain.from_iterable(combinations(chain.from_iterable(ends), count) for count in range(3))
    corners = ({**start, **dict(moved)} for moved in moves for start in starts)
    if key not in ACTIVE_WHEN:
        return True
    return any(ACTIVE_WHEN[key](reference.with_values(corner)) for corner in corners)


def _check_condition(
    place: str, key: str, values: tuple[Value, ...], space: Sequence[Parameter], reference: Setting
) -> None:
    """A condition that can never hold would make a knob that is never searched."""
    parameter = next((p for p in space if p.key == key), None)
    if parameter is None:
        possible: tuple[Value, ...] = (reference.flat()[key],)
    elif isinstance(parameter, ChoiceParameter):
        possible = parameter.values
    else:
        return
    if not set(values) & set(possible):
        raise UserError(f"{place}.when: {key} is never {' or '.join(map(str, values))} (it can be {list(possible)})")
