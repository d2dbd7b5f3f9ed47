"""Faults of a search as a whole: what its sampler, its race or its packs cannot do, found before anything runs."""

from dataclasses import replace
from itertools import islice
from random import Random
from typing import assert_never

from dualpt.core.cell import packable_keys
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import expand_datasets
from dualpt.core.errors import UserError
from dualpt.search_spaces.listed_points import grid_points
from dualpt.search_spaces.parameters import SHOTS, ChoiceParameter
from dualpt.search_spaces.points import draw, list_points
from dualpt.search_spaces.samplers import SAMPLERS
from dualpt.search_spaces.search_section import Search
from dualpt.search_spaces.sweep import LoadedSweep

RACES = ("asha", "statistical")
MOST_GRID_POINTS = 10_000
"""Points of a grid beyond which it is refused: listing them alone would take minutes."""
FEASIBILITY_DRAWS = 5000
"""Random points tried before a space counts as empty under its constraints."""


def check_constraints(sweep: LoadedSweep, source: str) -> None:
    """Check that constraints can be evaluated, and that some setting satisfies them all.

    Raises:
        UserError: one cannot be evaluated, or none of many random points satisfies them.
    """
    if not sweep.constraints:
        return
    base, random = sweep.base(), Random(0)
    try:
        for _ in range(FEASIBILITY_DRAWS):
            if sweep.violated({**base, **draw(sweep.space, base, random)}) is None:
                return
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    raise UserError(
        f"{source}: none of {FEASIBILITY_DRAWS} random points of the space satisfies {_all_of(sweep)}; widen the space"
    )


def check_sampler(sweep: LoadedSweep, source: str) -> None:
    """Check that the sampler can search this space.

    Raises:
        UserError: two objectives where it knows one, nothing that it could vary, or a grid that cannot be listed.
    """
    name, space = _search(sweep).sampler, sweep.space
    can = SAMPLERS[name]
    plain = [parameter for parameter in space if not parameter.when]
    numbers = [parameter for parameter in plain if not isinstance(parameter, ChoiceParameter)]
    if sweep.file.searches_shots and can.objectives < 2:
        able = [other for other, its in SAMPLERS.items() if its.objectives > 1 and not its.lists_points]
        raise UserError(
            f"{source}.sampler: {name} knows one objective, and a searched {SHOTS} makes two; use one of "
            f"{', '.join(able)}"
        )
    if len(numbers) < can.plain_numbers:
        raise UserError(
            f"{source}.sampler: {name} varies int and float parameters without 'when', and needs {can.plain_numbers} "
            f"of them; found {len(numbers)}; use tpe"
        )
    if len(plain) < can.plain_parameters:
        raise UserError(f"{source}.sampler: {name} models parameters without 'when', and there are none; use tpe")
    if can.values:
        for parameter in space:
            if parameter.listed is None:
                raise UserError(
                    f"{source}.space.{parameter.key}: a {name} needs values; give the range a step, or list them as "
                    "{choice: [...]}"
                )


def whole_grid(sweep: LoadedSweep, source: str) -> LoadedSweep:
    """With `sampler: grid`, let the trials be all settings of the grid, or as many of them as the file gives.

    Raises:
        UserError: there are too many points to list.
    """
    search = _search(sweep)
    if search.sampler != "grid":
        return sweep
    if len(list(islice(list_points(sweep.space, sweep.base()), MOST_GRID_POINTS + 1))) > MOST_GRID_POINTS:
        raise UserError(
            f"{source}.space: a grid of more than {MOST_GRID_POINTS} points; widen the steps, or use another sampler"
        )
    found = len(grid_points(sweep))
    trials = min(search.trials, found) if "trials" in search.model_fields_set else found
    file = sweep.file.model_copy(update={"search": search.model_copy(update={"trials": trials})})
    return replace(sweep, file=file)


def check_racing(sweep: LoadedSweep, source: str) -> None:
    """Check that candidates can be raced, and that no option of another race is given.

    Raises:
        UserError: one judged dataset, a searched number of shots, or an option that would be ignored.
    """
    search = _search(sweep)
    options = {"race_datasets": RACES, "race_reduction": RACES[:1], "race_confidence": RACES[1:]}
    for option, used_by in options.items():
        if getattr(search, option) is not None and search.racing not in used_by:
            raise UserError(
                f"{source}.{option}: does nothing with racing: {search.racing}; remove it, or set racing to "
                f"{' or '.join(used_by)}"
            )
    match search.racing:
        case "none":
            return
        case "asha" | "statistical":
            pass
        case _:
            assert_never(search.racing)
    if sweep.file.searches_shots:
        raise UserError(
            f"{source}.racing: candidates with different {SHOTS} cannot be raced; fix the shots, or set racing: none"
        )
    judged = len(expand_datasets(search.datasets or sweep.file.grid.datasets, sweep.reference.data.folder))
    if judged <= (search.race_datasets or 1):
        raise UserError(
            f"{source}.racing: needs more judged datasets than race_datasets ({search.race_datasets or 1}), found "
            f"{judged}; set search.racing=none"
        )


def check_packing(search: Search, reference: Setting, source: str) -> None:
    """Refuse to pack candidates of a space in which no two can share their steps.

    Raises:
        UserError: no searched key may differ between replicas.
    """
    packable = packable_keys(reference)
    if isinstance(search.pack, int) and search.pack > 1 and not packable & set(search.space):
        may = (
            f"may differ in {', '.join(sorted(packable))}, and none of them is searched" if packable else "never differ"
        )
        raise UserError(f"{source}: replicas {may}; remove it")


def _search(sweep: LoadedSweep) -> Search:
    assert sweep.file.search is not None, "checked for sweeps with a search"
    return sweep.file.search


def _all_of(sweep: LoadedSweep) -> str:
    return " and ".join(f"'{constraint.text}'" for constraint in sweep.constraints)
