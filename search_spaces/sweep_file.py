"""Reads a sweep file, applies overrides, and checks all that needs no data."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dualpt.core.cell import check_serves, chooses, selection_of
from dualpt.core.config.faults import flatten, one_line
from dualpt.core.config.sections import Section
from dualpt.core.config.setting import SETTING_KEYS, Setting
from dualpt.core.data.catalog import expand_datasets
from dualpt.core.data.protocols import targets_of
from dualpt.core.errors import UserError, nearest
from dualpt.core.method_catalog import canonical, load_method, owner_of
from dualpt.core.method_files import is_file_spec
from dualpt.core.presets import check_no_preset, method_setting
from dualpt.search_spaces.constraints import parse_constraint
from dualpt.search_spaces.documents.dropping import with_options_of_kept
from dualpt.search_spaces.documents.extending import read_extended
from dualpt.search_spaces.documents.fixing import fix_searched
from dualpt.search_spaces.parameters import SHOTS
from dualpt.search_spaces.search_checks import check_constraints, check_packing, check_racing, check_sampler, whole_grid
from dualpt.search_spaces.search_section import Search
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.search_spaces.space_checks import check_given_read, check_space
from dualpt.search_spaces.start_points import declared_start_points
from dualpt.search_spaces.sweep import Grid, LoadedSweep, Origin, Run, SweepFile

METHOD_REMEDY = "a sweep searches a method that is trained; list others under 'baselines'"
PRESET_REMEDY = "list it under baselines: to run it, or under search.start_from: to search from it"

AXES = ("datasets", "shots", "seeds")
"""The lists of the grid, of which a search may judge on a part."""


SHORTHANDS = {
    "datasets": "grid.datasets",
    "features": "data.features",
    "protocol": "grid.protocol",
    "selection": "grid.selection",
    "seeds": "grid.seeds",
    "shots": "grid.shots",
    "targets": "grid.targets",
    SHOTS: "grid.shots",
    "trials": "search.trials",
}


def load_sweep(path: Path, overrides: Mapping[str, Any] | None = None) -> LoadedSweep:
    """Read a sweep file, apply `key=value` overrides, and check all of it.

    Where an override narrows the grid, a search that judges on a part of it follows, unless it is overridden too.

    Raises:
        UserError: one line that names the file, the key and the remedy.
    """
    document = read_extended(path, shipped_or_path, override)
    origin = Origin("sweep", str(path), path.read_text(encoding="utf-8"), overrides or {})
    sweep = load_document(document, origin, str(path))
    searched = [sweep.reference] if sweep.file.search is not None else []
    check_given_read(origin.overrides, [*searched, *baseline_settings(sweep.file)], str(path))
    return sweep


def baseline_settings(file: SweepFile) -> list[Setting]:
    """The settings of its baselines."""
    return [method_setting(name, file.base_values(), file.grid.protocol) for name in file.baselines]


def load_document(document: dict[str, Any], origin: Origin, source: str) -> LoadedSweep:
    """A sweep from what its file declares, with the overrides of `origin` over it (see `load_sweep`).

    Args:
        source: what declares it, for error messages.
    """
    given = in_full(origin.overrides)
    following = [axis for axis in AXES if f"grid.{axis}" in given and f"search.{axis}" not in given]
    changed = with_options_of_kept(override(document, given, source), document, given)
    declared, remarks = fix_searched(changed, given, source)
    sweep = check_sweep(declared, source=source, following=following)
    remarks = (*remarks, *_unread_method(sweep))
    return replace(sweep, origin=replace(origin, document=_as_cut(declared, sweep, following)), remarks=remarks)


def _unread_method(sweep: LoadedSweep) -> tuple[str, ...]:
    """What to say of a method that no trial has: people expect it to run."""
    if sweep.file.search is not None or "method" not in sweep.file.base_values():
        return ()
    return (
        f"setting.method is for a search, and there is none: list {sweep.reference.method} under baselines to run it",
    )


def _as_cut(declared: dict[str, Any], sweep: LoadedSweep, following: Collection[str]) -> dict[str, Any]:
    """The document with the lists of the search that have followed the grid's, so that it loads on its own."""
    if sweep.file.search is None:
        return declared
    cut = {axis: getattr(sweep.file.search, axis) for axis in following}
    search = {**declared["search"], **cut}
    return {**declared, "search": {key: value for key, value in search.items() if key not in cut or value is not None}}


def in_full(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides by their full keys, `grid.shots` for `shots`.

    Raises:
        UserError: a key is given in both spellings.
    """
    given: dict[str, Any] = {}
    for key, value in overrides.items():
        full = SHORTHANDS.get(key, key)
        if full in given:
            raise UserError(f"{full} is given twice on the command line, once as '{key}'; keep one of them")
        given[full] = value
    return given


def check_sweep(declared: Mapping[str, Any], source: str, following: Collection[str] = ()) -> LoadedSweep:
    """Validate a declared sweep (see `load_sweep`); arguments as in `check_grid`."""
    sweep = check_grid(declared, source, following)
    if not sweep.file.baselines and sweep.file.search is None:
        raise UserError(f"{source}: nothing to run: give baselines, a search, or both")
    return replace(sweep, origin=Origin(file=source, document=declared))


def check_grid(declared: Mapping[str, Any], source: str, following: Collection[str] = ()) -> LoadedSweep:
    """Validate what sweeps and ablations share, and the search of a sweep.

    Args:
        declared: the document.
        source: its file, for error messages.
        following: lists of the search that are cut to the grid's; elsewhere, judging outside the grid is an error.
    """
    file = _read_document(declared, source)
    fixed = file.base_values()
    if file.search is not None and "method" in file.search.space:
        raise UserError(f"{source}: search.space.method: a sweep searches one method; list others under 'baselines'")
    check_no_preset(fixed.get("method"), f"{source}: setting.method", PRESET_REMEDY)
    reference = Setting().with_values(file.reference_values(), source=f"{source}: setting")
    if not reference.trains:
        raise UserError(f"{source}: setting.method: {METHOD_REMEDY}")
    reference = _with_searched_options(file, reference, source)
    _check_methods(file, reference, source)
    root = reference.data.folder
    file = _judge_within_grid(file, following, source, root)
    _check_targets(file.grid, source, root)
    space = file.space(source=f"{source}: search.space", reference=reference)
    check_space(space, fixed, reference, source)
    if file.searches_shots and file.search is not None and file.search.shots is not None:
        raise UserError(f"{source}: search.shots and a searched {SHOTS} exclude each other; remove one")
    sweep = LoadedSweep(file, space, reference)
    return sweep if file.search is None else _check_search(sweep, file.search, source)


def _read_document(declared: Mapping[str, Any], source: str) -> SweepFile:
    """The document as a sweep file; what it says is checked against nothing else yet."""
    for key in declared:
        if key not in SweepFile.model_fields:
            hint = f"; did you mean 'setting.{key}'?" if key in Setting.model_fields else ""
            hint = f"; {METHOD_REMEDY}" if key == "method" else hint
            raise UserError(f"{source}: unknown key '{key}'{hint or nearest(key, SweepFile.model_fields)}")
    try:
        return SweepFile.model_validate(dict(declared))
    except ValidationError as error:
        raise UserError(f"{source}: {_with_nearest(error)}") from None


def _check_search(sweep: LoadedSweep, search: Search, source: str) -> LoadedSweep:
    """The sweep with its constraints and starting points, its search checked as a whole."""
    constraints = [
        parse_constraint(text, search.space, f"{source}: search.constraints", sweep.reference.keys)
        for text in search.constraints
    ]
    sweep = replace(sweep, constraints=tuple(constraints))
    check_constraints(sweep, f"{source}: search.constraints")
    check_sampler(sweep, f"{source}: search")
    check_racing(sweep, f"{source}: search")
    check_packing(search, sweep.reference, f"{source}: search.pack")
    sweep = whole_grid(sweep, f"{source}: search")
    return replace(sweep, start_points=declared_start_points(sweep, f"{source}: search.start_from"))


def _with_searched_options(file: SweepFile, reference: Setting, source: str) -> Setting:
    """Under `support-cv`, options that a method would choose, where every candidate sets them: at their lowest value.

    Which value it is matters to no candidate; left open, the method would be taken for one that chooses.
    """
    if file.search is None or file.grid.selection != "support-cv" or not chooses(reference):
        return reference
    given = reference.flat()
    space = file.space(source=f"{source}: search.space", reference=reference)
    always = [one for one in space if not one.when and None not in one.ends and one.key in given]
    return reference.with_values({one.key: one.ends[0] for one in always if given[one.key] is None})


def _check_methods(file: SweepFile, reference: Setting, source: str) -> None:
    """Refuse options, protocols and shots that a method on frozen features isn't made for.

    Raises:
        UserError: naming the method.
    """
    grid, searched = file.grid, file.search is not None
    if searched and grid.selection == "none":
        raise UserError(
            f"{source}: grid.selection: none is one fixed recipe, and a search has nothing to select by; remove "
            "'search', or choose validation, support-holdout or support-cv"
        )
    try:
        baselines = [(setting, False) for setting in baseline_settings(file)]
        for setting, selected in (*baselines, (reference, searched)):
            rule = selection_of(setting, grid.selection, searched=selected)
            check_serves(setting, grid.protocol, grid.shots, rule)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _judge_within_grid(file: SweepFile, following: Collection[str], source: str, root: Path | None) -> SweepFile:
    """Cut the search's lists in `following` to the grid's, None where nothing is left; refuse others outside it."""
    cut: dict[str, list[Any] | None] = {}
    for axis in AXES:
        grid = _members(axis, getattr(file.grid, axis), f"{source}: grid.{axis}", root)
        judged = getattr(file.search, axis, None)
        if judged is None:
            continue
        members = _members(axis, judged, f"{source}: search.{axis}", root)
        outside = [member for member in members if member not in grid]
        if outside and axis not in following:
            raise UserError(
                f"{source}: search.{axis}: {', '.join(map(str, outside))} not in the grid; judge on a part of "
                f"grid.{axis}, or remove search.{axis}"
            )
        if outside:
            cut[axis] = [member for member in members if member in grid] or None
    if file.search is None or not cut:
        return file
    return file.model_copy(update={"search": file.search.model_copy(update=cut)})


def _check_targets(grid: Grid, source: str, root: Path | None) -> None:
    """Refuse targets that the protocol or a dataset does not admit."""
    try:
        for dataset in expand_datasets(grid.datasets, root):
            targets_of(grid.protocol, dataset, grid.targets, root)
    except UserError as error:
        raise UserError(f"{source}: grid.targets: {error}") from None


def _members(axis: str, values: Iterable[Any], place: str, root: Path | None) -> tuple[Any, ...]:
    """What a list of the grid stands for: `mini` and `real` are eleven datasets each."""
    if axis != "datasets":
        return tuple(values)
    try:
        return expand_datasets(values, root)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


def override(declared: dict[str, Any], overrides: Mapping[str, Any], path: Path | str) -> dict[str, Any]:
    """Apply overrides: `grid.*`, `search.*`, `run.*`, `name` to the file itself, all else to its `setting`."""
    setting = _section(declared, "setting", f"{path}: setting")
    try:
        declared = {**declared, "setting": flatten(setting)}
    except UserError as error:
        raise UserError(f"{path}: setting: {error}") from None
    _load_files([*_words(declared["setting"].get("method")), *_words(declared.get("baselines"))])
    _load_files([*_words(overrides.get("method")), *_words(overrides.get("baselines"))])
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        if key in SETTING_KEYS or owner_of(key) is not None:
            declared["setting"][key] = value
        elif section in {"grid", "search", "run"} and rest:
            inner = _section(declared, section, f"{path}: {section}")
            if section == "search" and rest.startswith("space."):
                space = _section(inner, "space", f"{path}: search.space")
                inner["space"] = {**space, rest.removeprefix("space."): value}
                inner["space"] = {name: spec for name, spec in inner["space"].items() if spec is not None}
            else:
                single = rest in (*AXES, "targets") and value is not None and not isinstance(value, list)
                inner[rest] = [value] if single else value
            declared[section] = inner
        elif key in SweepFile.model_fields and key not in {"grid", "search", "run", "setting"}:
            declared[key] = value
        else:
            known = [*SETTING_KEYS, *SHORTHANDS, "name", "baselines", *(f"grid.{k}" for k in Grid.model_fields)]
            known += [*(f"search.{k}" for k in Search.model_fields), *(f"run.{k}" for k in Run.model_fields)]
            raise UserError(f"{path}: unknown key '{key}'{nearest(key, known)}")
    return declared


def _words(declared: Any) -> list[str]:
    """The words of a list, or of a single word; what else stands there is refused later."""
    listed = declared if isinstance(declared, list) else [declared]
    return [word for word in listed if isinstance(word, str)]


def _load_files(specs: Iterable[str]) -> None:
    """Load users' own methods, whose options are known by their names from then on."""
    for spec in filter(is_file_spec, specs):
        load_method(canonical(spec))


def _section(declared: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
    """A copy of a section that overrides may change; empty where the file has none."""
    section = declared.get(name)
    if not isinstance(section, dict | None):
        raise UserError(f"{place}: expected a mapping of keys, found {section!r}")
    return dict(section or {})


def _with_nearest(error: ValidationError) -> str:
    """The faults in one line; an unknown key also names the nearest known one."""
    models: dict[str, type[Section]] = {"grid": Grid, "search": Search, "run": Run}
    hints = []
    for fault in error.errors():
        model = models.get(str(fault["loc"][0])) if len(fault["loc"]) > 1 else None
        if fault["type"] == "extra_forbidden" and model is not None:
            hints.append(nearest(str(fault["loc"][1]), model.model_fields))
    return one_line(error) + "".join(hints)
