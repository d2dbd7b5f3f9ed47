"""The sweep file: which grid, which baselines, what may vary, and how it is searched."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from core.config import ACTIVE_WHEN, LOCATIONS, SETTING_KEYS, Protocol, Section, Setting, Value, flatten, one_line
from core.errors import UserError, nearest
from core.methods import METHODS
from core.results import SELECTION_METRICS, VAL_ACCURACY
from search_spaces.parameters import SHOTS, ChoiceParameter, Parameter, parse_parameter
from search_spaces.yaml_reader import read_yaml

MAX_CORNERS = 4096
"""Corners of a space tried in search of one where a parameter matters."""

Positive = Annotated[int, Field(ge=1)]


class Grid(Section):
    """What every setting is judged on: datasets x shots x seeds under one protocol."""

    datasets: list[str] = Field(["mini"])
    """Dataset names; `mini` and `real` stand for all eleven of either."""
    protocol: Protocol = "few-shot"
    """Few-shot recognition, or base-to-new generalisation."""
    shots: list[Positive] = Field([16], min_length=1)
    """Training images per class."""
    seeds: list[Annotated[int, Field(ge=0)]] = Field([1, 2, 3], min_length=1)
    """Seeds of the few-shot draw, the initial context and the batch order."""

    @field_validator("datasets", "shots", "seeds")
    @classmethod
    def _no_repeats(cls, values: list[Any]) -> list[Any]:
        if not values or len(set(values)) != len(values):
            raise ValueError("must be a list without repeats and not empty")
        return values


class Search(Section):
    """How candidates are proposed, and on which part of the grid they are judged."""

    trials: int = Field(20, ge=1)
    """Candidate settings to evaluate."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Optuna sampler."""
    seed: int = Field(0, ge=0)
    """Seed of the sampler."""
    objective: str = VAL_ACCURACY
    """Maximised mean over the judged cells; a validation metric."""
    datasets: list[str] | None = None
    """Datasets that candidates are judged on; None is the grid's."""
    shots: list[Positive] | None = None
    """Shots that candidates are judged at; None is the grid's."""
    seeds: list[int] | None = None
    """Seeds that candidates are judged at; None is the grid's."""
    space: dict[str, Any] = Field(min_length=1)
    """What varies, by dotted key."""

    @field_validator("objective")
    @classmethod
    def _never_test(cls, objective: str) -> str:
        if objective not in SELECTION_METRICS:
            raise ValueError(f"'{objective}' may not steer a search: select on {' or '.join(SELECTION_METRICS)}")
        return objective


class Run(Section):
    """Where and how wide it runs; nothing here changes a result."""

    cpus_per_trial: float = Field(1, gt=0)
    """CPU cores a trial reserves (and the torch threads it uses)."""
    gpus_per_trial: float | Literal["auto"] = "auto"
    """GPU share a trial reserves; `auto` is a quarter of a GPU where there are any, else none."""
    max_concurrent: int | None = Field(None, ge=1)
    """Most trials at once; None is what the resources allow."""
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

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if not self.baselines and self.search is None:
            raise ValueError("nothing to run: give baselines, a search, or both")
        return self

    def base_values(self) -> dict[str, Value]:
        """Fixed values over the defaults, by dotted key."""
        return flatten(self.setting)

    def space(self, source: str = "search.space") -> tuple[Parameter, ...]:
        """The typed parameters, conditions after what they depend on."""
        if self.search is None:
            return ()
        return _in_order([parse_parameter(key, spec, source) for key, spec in self.search.space.items()], source)

    @property
    def searches_shots(self) -> bool:
        return self.search is not None and SHOTS in self.search.space


@dataclass(frozen=True)
class LoadedSweep:
    """A sweep file that has passed every check that needs no data."""

    file: SweepFile
    space: tuple[Parameter, ...]
    reference: Setting
    """The shipped defaults with the file's fixed values."""


SHORTHANDS = {
    "datasets": "grid.datasets",
    "protocol": "grid.protocol",
    "seeds": "grid.seeds",
    "shots": "grid.shots",
    SHOTS: "grid.shots",
    "trials": "search.trials",
}


def load_sweep(path: Path, overrides: Mapping[str, Any] | None = None) -> LoadedSweep:
    """Read a sweep file, apply `key=value` overrides, and check all of it.

    Raises:
        UserError: one line that names the file, the key and the remedy.
    """
    return check_sweep(_override(read_yaml(path), overrides or {}, path), source=str(path))


def check_sweep(declared: Mapping[str, Any], source: str) -> LoadedSweep:
    """Validate a declared sweep (see `load_sweep`)."""
    for key in declared:
        if key not in SweepFile.model_fields:
            hint = f"; did you mean 'setting.{key}'?" if key in Setting.model_fields else ""
            raise UserError(f"{source}: unknown key '{key}'{hint or nearest(key, SweepFile.model_fields)}")
    try:
        file = SweepFile.model_validate(dict(declared))
    except ValidationError as error:
        raise UserError(f"{source}: {_with_nearest(error)}") from None
    reference = Setting().with_values(file.base_values(), source=f"{source}: setting")
    space = file.space(source=f"{source}: search.space")
    _check_space(file, reference, space, source)
    return LoadedSweep(file, space, reference)


def _override(declared: dict[str, Any], overrides: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Apply overrides: `grid.*`, `search.*`, `run.*`, `name` to the file itself, all else to its `setting`."""
    declared = {**declared, "setting": flatten(declared.get("setting") or {})}
    for given, value in overrides.items():
        key = SHORTHANDS.get(given, given)
        section, _, rest = key.partition(".")
        if key in SETTING_KEYS:
            declared["setting"][key] = value
        elif section in {"grid", "search", "run"} and rest:
            inner = dict(declared.get(section) or {})
            if section == "search" and rest.startswith("space."):
                inner["space"] = {**(inner.get("space") or {}), rest.removeprefix("space."): value}
            else:
                listed = rest in {"datasets", "shots", "seeds"} and not isinstance(value, list)
                inner[rest] = [value] if listed else value
            declared[section] = inner
        elif key in SweepFile.model_fields and key not in {"grid", "search", "run", "setting"}:
            declared[key] = value
        else:
            known = [*SETTING_KEYS, *SHORTHANDS, "name", "baselines", *(f"grid.{k}" for k in Grid.model_fields)]
            known += [*(f"search.{k}" for k in Search.model_fields), *(f"run.{k}" for k in Run.model_fields)]
            raise UserError(f"{path}: unknown key '{given}'{nearest(given, known)}")
    return declared


def _with_nearest(error: ValidationError) -> str:
    """The faults in one line; an unknown key also names the nearest known one."""
    models: dict[str, type[Section]] = {"grid": Grid, "search": Search, "run": Run}
    hints = []
    for fault in error.errors():
        model = models.get(str(fault["loc"][0])) if len(fault["loc"]) > 1 else None
        if fault["type"] == "extra_forbidden" and model is not None:
            hints.append(nearest(str(fault["loc"][1]), model.model_fields))
    return one_line(error) + "".join(hints)


def _in_order(parameters: list[Parameter], source: str) -> tuple[Parameter, ...]:
    """Put each parameter behind those its condition names."""
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


def _check_space(file: SweepFile, reference: Setting, space: tuple[Parameter, ...], source: str) -> None:
    for parameter in space:
        place = f"{source}: search.space.{parameter.key}"
        if parameter.key in LOCATIONS:
            raise UserError(f"{place}: a location is not searchable; set it with {parameter.key}=PATH")
        if parameter.key in file.base_values():
            raise UserError(f"{place}: is searched and also fixed in 'setting'; remove one")
        for key, values in parameter.when.items():
            _check_condition(place, key, values, space, reference)
        if parameter.key in ACTIVE_WHEN and not _can_matter(parameter, space, reference):
            raise UserError(
                f"{place}: changes nothing, because the rest of the setting switches it off; remove it, or search or "
                "set what switches it on"
            )
    if file.searches_shots and file.search is not None and file.search.shots is not None:
        raise UserError(f"{source}: search.shots and a searched {SHOTS} exclude each other; remove one")


def _can_matter(parameter: Parameter, space: tuple[Parameter, ...], reference: Setting) -> bool:
    """Whether any corner of the space lets the parameter change a result: a dead knob wastes a search."""
    others = [p for p in space if p.key not in (parameter.key, SHOTS)]
    corners = islice(product(*[[(p.key, end) for end in p.ends] for p in others]), MAX_CORNERS)
    for corner in corners:
        values = {**dict(corner), parameter.key: parameter.ends[-1]}
        if ACTIVE_WHEN[parameter.key](reference.with_values(values)):
            return True
    return False


def _check_condition(
    place: str, key: str, values: tuple[Value, ...], space: tuple[Parameter, ...], reference: Setting
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
