"""A sweep as declared and as checked: its grid, its fixed setting, its search, and where it runs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from dualpt.core.config.faults import flatten
from dualpt.core.config.sections import Protocol, Section, Value
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.core.method_catalog import BUILT_IN, canonical, owner_of
from dualpt.core.method_files import is_file_spec
from dualpt.core.presets import METHODS, find_method
from dualpt.core.selection_rules import SelectionRule
from dualpt.search_spaces.constraints import Constraint
from dualpt.search_spaces.parameters import SHOTS, Parameter, parse_parameter
from dualpt.search_spaces.points import Point, StartPoint
from dualpt.search_spaces.search_section import Datasets, Search, Seeds, Shots
from dualpt.search_spaces.space_checks import in_order


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
    selection: SelectionRule = "validation"
    """By which images a search selects, and methods choose their own options: the few-shot validation images, one shot
    per class held out of the support set, folds of it, or none."""
    seeds: Seeds = Field([1, 2, 3])
    """Seeds of the few-shot draw, the initial context and the batch order: numbers, ranges such as `1-10`, or
    `draws(10)`, which is 1 to 10."""


class Run(Section):
    """Where and how wide it runs; nothing here changes a result."""

    cpus_per_trial: float = Field(1, gt=0)
    """CPU cores a trial reserves (and the torch threads it uses)."""
    gpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    """GPUs a trial reserves, a fraction or a whole number; `auto` measures the memory of the sweep's largest pack."""
    max_concurrent: int | None = Field(None, ge=1)
    """Most trials at once; None is what the resources allow."""
    max_hours: float | None = Field(None, gt=0)
    """Budget of one launch in hours of wall time: then running packs finish and the launch ends; None for no limit."""
    system_metrics: bool = False
    """Whether workers write the memory and the utilisation of their GPUs to MLflow, on the runs of the trials that they
    train (`system/worker_<n>/gpu_…`, with the curves of their losses)."""
    ray_dashboard: bool = False
    """Whether Ray's own dashboard is served while it runs, on this machine's loopback at port 8265 or the next free
    one; a launch says its address. A cluster (RAY_ADDRESS) has its own."""
    notify: str | None = None
    """Command that gets a JSON document on its standard input at every event: `new best`, `failure` and `end`
    (docs/watching.md); None calls nothing."""
    tracking_uri: str = Field(default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db")
    """MLflow tracking store; without one, that of $MLFLOW_TRACKING_URI, or `sqlite:///mlflow.db`."""
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
    """Published methods (`dualpt.core.presets`) and users' own (`FILE.py`) run over the whole grid."""
    search: Search | None = None
    run: Run = Run()

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, names: list[str], info: ValidationInfo) -> list[str]:
        trials: dict[str, str] = {}
        searched = flatten(info.data.get("setting", {})).get("method")
        try:
            if isinstance(searched, str) and is_file_spec(searched):
                _refuse_namesake(searched, {find_method(name)[0]: name for name in names if name not in METHODS})
            for name in names:
                _refuse_namesake(name, trials)
                trials.setdefault(find_method(name)[0], name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return list(trials.values())

    def base_values(self) -> dict[str, Value]:
        """Fixed values over the defaults, by dotted key."""
        return flatten(self.setting)

    def reference_values(self) -> dict[str, Value]:
        """Fixed values of the reference: without the options of baselines, which are theirs alone."""
        fixed = self.base_values()
        own = find_method(name)[0] if isinstance(name := fixed.get("method"), str) and name not in BUILT_IN else None
        baselines = {find_method(name)[0] for name in self.baselines} - {own}
        return {key: value for key, value in fixed.items() if owner_of(key) not in baselines}

    def space(self, source: str = "search.space", reference: Setting | None = None) -> tuple[Parameter, ...]:
        """The typed parameters of `reference`, conditions after what they depend on."""
        if self.search is None:
            return ()
        space = self.search.space.items()
        return in_order([parse_parameter(key, spec, source, reference) for key, spec in space], source)

    @property
    def searches_shots(self) -> bool:
        return self.search is not None and SHOTS in self.search.space


def _refuse_namesake(spec: str, trials: Mapping[str, str]) -> None:
    """Refuse a user's method that has the name of another one: records and tables know a method by its name."""
    name = find_method(spec)[0]
    other = trials.get(name, spec)
    if canonical(other) != canonical(spec):
        raise UserError(f"{other} and {spec} both call their method '{name}'; rename one of them")


@dataclass(frozen=True)
class Variant:
    """A named setting that an ablation runs over the whole grid."""

    name: str
    setting: Setting
    levels: Mapping[str, str]
    """Factor -> level; empty in an ablation that lists its variants by name."""
    is_reference: bool = False
    """Whether the others are compared with it."""


@dataclass(frozen=True)
class Origin:
    """What a checked sweep was read from: enough to record it, and to launch it again."""

    kind: Literal["sweep", "ablation"] = "sweep"
    file: str = ""
    """Path of the file; empty where a program declared the sweep."""
    text: str = ""
    """The file as written."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Given over the file, by key."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """All that is declared: the file, what it extends beneath it, and the overrides over it."""


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
    """Of an ablation (`dualpt.search_spaces.ablation`): its reference and its variants."""
    pack: int | Literal["auto"] = "auto"
    """How many variants of an ablation may share the steps of a pack; a search has `search.pack`."""
    origin: Origin = Origin()
    remarks: tuple[str, ...] = ()
    """What the overrides changed beyond the values given: to be said before anything runs."""

    def base(self) -> Point:
        """All values of the reference, by dotted key; where shots are searched, with the grid's most."""
        return {**self.reference.flat(), SHOTS: max(self.file.grid.shots)}

    def violated(self, values: Mapping[str, Value]) -> Constraint | None:
        """The first constraint that a complete set of values violates.

        Raises:
            UserError: a constraint cannot be evaluated there.
        """
        return next((constraint for constraint in self.constraints if not constraint.holds(values)), None)
