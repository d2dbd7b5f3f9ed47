"""The sweep file: which grid, which baselines, what may vary, and how it is searched."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from core.config import SETTING_KEYS, Protocol, Section, Setting, Value, flatten, one_line
from core.data.catalog import expand_datasets
from core.data.protocols import targets_of
from core.errors import UserError, nearest
from core.methods import METHODS
from search_spaces.constraints import Constraint, parse_constraint
from search_spaces.parameters import SHOTS, Parameter, parse_parameter
from search_spaces.points import Point
from search_spaces.search_checks import check_constraints, check_packing, check_racing, check_sampler, whole_grid
from search_spaces.search_section import Datasets, Search, Seeds, Shots
from search_spaces.space_checks import check_space, in_order
from search_spaces.start_points import StartPoint, declared_start_points
from search_spaces.yaml_reader import read_yaml

METHOD_REMEDY = "a sweep searches learned prompts; list other methods under 'baselines'"

AXES = ("datasets", "shots", "seeds")
"""The lists of the grid, of which a search may judge on a part."""


class Grid(Section):
    """What every setting is judged on: datasets x shots x seeds under one protocol."""

    datasets: Datasets = Field(["mini"])
    """Dataset names; `mini` and `real` stand for all eleven of either."""
    protocol: Protocol = "few-shot"
    """Few-shot recognition, base-to-new generalisation, or transfer to other datasets or to variants of the dataset."""
    targets: Datasets | None = None
    """Datasets that cross-dataset and domain-generalization test on; None is the rest of the grid that a dataset
    belongs to, or ImageNet's four variants."""
    shots: Shots = Field([16])
    """Training images per class."""
    seeds: Seeds = Field([1, 2, 3])
    """Seeds of the few-shot draw, the initial context and the batch order."""


class Run(Section):
    """Where and how wide it runs; nothing here changes a result."""

    cpus_per_trial: float = Field(1, gt=0)
    """CPU cores a trial reserves (and the torch threads it uses)."""
    gpus_per_trial: float | Literal["auto"] = "auto"
    """GPUs a trial reserves, a fraction or a whole number; `auto` measures the memory of the sweep's largest pack."""
    max_concurrent: int | None = Field(None, ge=1)
    """Most trials at once; None is what the resources allow."""
    max_hours: float | None = Field(None, gt=0)
    """Budget of one launch in hours of wall time: then running packs finish and the launch ends; None is no limit."""
    tracking_uri: str = "sqlite:///mlflow.db"
    """MLflow tracking store."""
    study_storage: str = "sqlite:///optuna.db"
    """Optuna study storage."""


class SweepFile(Section):
    """One sweep as declared. `load_sweep` reads it; `space()` gives the typed parameters."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the MLflow experiment and of the Optuna study."""
    description: str = ""
    """One sentence for MLflow's page of the experiment."""
    grid: Grid = Grid()
    setting: dict[str, Any] = Field(default_factory=dict)
    """Fixed values over the shipped defaults, nested or dotted."""
    baselines: list[str] = Field(default_factory=list)
    """Published methods (`core.methods`) run over the whole grid."""
    search: Search | None = None
    run: Run = Run()

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in METHODS:
                raise ValueError(f"unknown method '{name}'{nearest(name, METHODS)}")
        return list(dict.fromkeys(names))

    def base_values(self) -> dict[str, Value]:
        """Fixed values over the defaults, by dotted key."""
        return flatten(self.setting)

    def space(self, source: str = "search.space") -> tuple[Parameter, ...]:
        """The typed parameters, conditions after what they depend on."""
        if self.search is None:
            return ()
        return in_order([parse_parameter(key, spec, source) for key, spec in self.search.space.items()], source)

    @property
    def searches_shots(self) -> bool:
        return self.search is not None and SHOTS in self.search.space


@dataclass(frozen=True)
class Variant:
    """A named setting that a study runs over the whole grid."""

    name: str
    setting: Setting
    levels: Mapping[str, str]
    """Factor -> level; empty in a study that lists its variants by name."""
    is_reference: bool = False
    """Whether the others are held against it."""


@dataclass(frozen=True)
class LoadedSweep:
    """A sweep file that has passed every check that needs no data."""

    file: SweepFile
    space: tuple[Parameter, ...]
    reference: Setting
    """The shipped defaults with the file's fixed values."""
    constraints: tuple[Constraint, ...] = ()
    start_points: tuple[StartPoint, ...] = ()
    """Candidates to begin with; what earlier sweeps selected is not among them, since only their store knows it."""
    variants: tuple[Variant, ...] = ()
    """Of a study (`search_spaces.study`): its reference and its variants."""
    pack: int | Literal["auto"] = "auto"
    """How many variants of a study may share the steps of a pack; a search has `search.pack`."""

    def base(self) -> Point:
        """All values of the reference, by dotted key; where shots are searched, with the grid's most."""
        return {**self.reference.flat(), SHOTS: max(self.file.grid.shots)}

    def violated(self, values: Mapping[str, Value]) -> Constraint | None:
        """The first constraint that a complete set of values violates.

        Raises:
            UserError: a constraint cannot be evaluated there.
        """
        return next((constraint for constraint in self.constraints if not constraint.holds(values)), None)


SHORTHANDS = {
    "datasets": "grid.datasets",
    "protocol": "grid.protocol",
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
    given = {SHORTHANDS.get(key, key): value for key, value in (overrides or {}).items()}
    following = [axis for axis in AXES if f"grid.{axis}" in given and f"search.{axis}" not in given]
    return check_sweep(override(read_yaml(path), given, path), source=str(path), following=following)


def check_sweep(declared: Mapping[str, Any], source: str, following: Collection[str] = ()) -> LoadedSweep:
    """Validate a declared sweep (see `load_sweep`); arguments as of `check_grid`."""
    sweep = check_grid(declared, source, following)
    if not sweep.file.baselines and sweep.file.search is None:
        raise UserError(f"{source}: nothing to run: give baselines, a search, or both")
    return sweep


def check_grid(declared: Mapping[str, Any], source: str, following: Collection[str] = ()) -> LoadedSweep:
    """Validate what sweeps and studies share, and the search of a sweep.

    Args:
        declared: the document.
        source: its file, for error messages.
        following: lists of the search that are cut to the grid's; elsewhere, judging outside the grid is an error.
    """
    for key in declared:
        if key not in SweepFile.model_fields:
            hint = f"; did you mean 'setting.{key}'?" if key in Setting.model_fields else ""
            hint = f"; {METHOD_REMEDY}" if key == "method" else hint
            raise UserError(f"{source}: unknown key '{key}'{hint or nearest(key, SweepFile.model_fields)}")
    try:
        file = SweepFile.model_validate(dict(declared))
    except ValidationError as error:
        raise UserError(f"{source}: {_with_nearest(error)}") from None
    fixed = file.base_values()
    for place, keys in (("setting", fixed), ("search.space", file.search.space if file.search else {})):
        if "method" in keys:
            raise UserError(f"{source}: {place}.method: {METHOD_REMEDY}")
    reference = Setting().with_values(fixed, source=f"{source}: setting")
    root = reference.data.folder
    file = _judge_within_grid(file, following, source, root)
    _check_targets(file.grid, source, root)
    space = file.space(source=f"{source}: search.space")
    check_space(space, fixed, reference, source)
    if file.searches_shots and file.search is not None and file.search.shots is not None:
        raise UserError(f"{source}: search.shots and a searched {SHOTS} exclude each other; remove one")
    if file.search is None:
        return LoadedSweep(file, space, reference)
    searched = file.search.space
    constraints = [
        parse_constraint(text, searched, f"{source}: search.constraints") for text in file.search.constraints
    ]
    sweep = LoadedSweep(file, space, reference, tuple(constraints))
    check_constraints(sweep, f"{source}: search.constraints")
    check_sampler(sweep, f"{source}: search")
    check_racing(sweep, f"{source}: search")
    check_packing(file.search, f"{source}: search.pack")
    sweep = whole_grid(sweep, f"{source}: search")
    return replace(sweep, start_points=declared_start_points(sweep, f"{source}: search.start_from"))


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


def override(declared: dict[str, Any], overrides: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Apply overrides: `grid.*`, `search.*`, `run.*`, `name` to the file itself, all else to its `setting`."""
    declared = {**declared, "setting": flatten(_section(declared, "setting", f"{path}: setting"))}
    for key, value in overrides.items():
        section, _, rest = key.partition(".")
        if key in SETTING_KEYS:
            declared["setting"][key] = value
        elif section in {"grid", "search", "run"} and rest:
            inner = _section(declared, section, f"{path}: {section}")
            if section == "search" and rest.startswith("space."):
                space = _section(inner, "space", f"{path}: search.space")
                inner["space"] = {**space, rest.removeprefix("space."): value}
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
