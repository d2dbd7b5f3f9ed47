"""Searched keys that the command line fixes: `optim.learning_rate=0.003` takes that key out of the search."""

from collections.abc import Collection, Mapping
from typing import Any

from dualpt.core.config.faults import flatten
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.method_catalog import owner_of
from dualpt.search_spaces.constraints import parse_constraint
from dualpt.search_spaces.parameters import Parameter, parse_parameter
from dualpt.search_spaces.space_checks import can_matter

Document = dict[str, Any]


def fix_searched(document: Document, given: Mapping[str, Any], source: str) -> tuple[Document, tuple[str, ...]]:
    """Take the keys that are fixed out of a search, and those that then can't exist or change nothing.

    Args:
        document: a sweep file with its overrides applied.
        given: the overrides, by their full keys.

    Returns:
        The document, and what to say of it, a line each.

    Raises:
        UserError: nothing is left to search, or a fixed value violates a constraint.
    """
    search = document.get("search")
    space = search.get("space") if isinstance(search, dict) else None
    if not isinstance(search, dict) or not isinstance(space, dict):
        return document, ()
    fixed = [key for key in space if key in given and f"search.space.{key}" not in given]
    if not fixed:
        return document, ()
    left = {key: spec for key, spec in space.items() if key not in fixed}
    setting = flatten(document.get("setting") or {})
    idle = _idle(left, space, {key: given[key] for key in fixed}, setting, source)
    left = {key: spec for key, spec in left.items() if key not in idle}
    if not left:
        raise UserError(
            f"{source}: the command line fixes {', '.join(fixed)}, and nothing is left to search; leave one to the "
            "search, or train the setting with `dualpt train`"
        )
    changed = {**search, "space": left}
    if "constraints" in search:
        changed["constraints"] = _constraints(search["constraints"], space, left, setting, source)
    if "start_from" in search:
        changed["start_from"] = _start_points(search["start_from"], left)
    remarks = [f"{key} is searched by {source} and fixed here: {given[key]}" for key in fixed]
    remarks += [f"{key} is then not searched either: it changes nothing" for key in idle]
    return {**document, "search": changed}, tuple(remarks)


def _idle(
    left: Mapping[str, Any], space: Mapping[str, Any], fixed: Mapping[str, Any], setting: Mapping[str, Any], source: str
) -> list[str]:
    """Searched keys that mattered and no longer do."""
    place = f"{source}: search.space"
    reference = _reference(setting, source)
    free = _reference({key: value for key, value in setting.items() if key not in fixed}, source)
    before = {key: parse_parameter(key, spec, place, reference) for key, spec in space.items()}
    idle: list[str] = []
    while True:
        parameters = [before[key] for key in left if key not in idle]
        more = [p.key for p in parameters if not _exists(p, parameters, reference)]
        more = more or [
            p.key
            for p in parameters
            if not can_matter(p.key, parameters, reference) and can_matter(p.key, list(before.values()), free)
        ]
        if not more:
            return idle
        idle += more


def _reference(values: Mapping[str, Any], source: str) -> Setting:
    """The setting that is searched, without the options of methods that run beside it as baselines."""
    begun = Setting().with_values({key: value for key, value in values.items() if key == "method"}, source)
    own = (None, begun.method_name)
    return begun.with_values({key: value for key, value in values.items() if owner_of(key) in own}, source)


def _exists(parameter: Parameter, space: Collection[Parameter], reference: Setting) -> bool:
    """Whether a parameter's condition can hold, as far as keys that aren't searched decide."""
    searched, values = {other.key for other in space}, reference.flat()
    return all(key in searched or values.get(key) in allowed for key, allowed in parameter.when.items())


def _constraints(declared: Any, space: Collection[str], left: Collection[str], setting: Any, source: str) -> Any:
    """Those that still say something of a searched key."""
    if not isinstance(declared, list):
        return declared
    reference, kept = _reference(setting, source), []
    values = reference.flat()
    for text in declared:
        constraint = parse_constraint(text, space, f"{source}: search.constraints", reference.keys)
        if constraint.keys & set(left):
            kept.append(text)
        elif not constraint.holds(values):
            raise UserError(f"{source}: search.constraints: what the command line fixes violates '{text}'")
    return kept


def _start_points(declared: Any, left: Collection[str]) -> Any:
    """Given points without the keys that are no longer searched; methods and sweeps as they are."""
    if not isinstance(declared, list):
        return declared
    points = [{k: v for k, v in one.items() if k in left} if isinstance(one, dict) and one else one for one in declared]
    return [one for one, before in zip(points, declared, strict=True) if one or not before]
