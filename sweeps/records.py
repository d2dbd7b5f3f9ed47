"""What the ledger holds, in words shared by all that write or read it. Loads neither MLflow nor torch.

Three levels of runs: the sweep, its trials (one setting over the grid), and their cells. A cell is done when its run is
FINISHED, which is the last thing written; whatever a kill leaves behind is RUNNING and does not count.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from dualpt.core.cell import Cell, pack_of
from dualpt.core.config.activity import active_values
from dualpt.core.config.setting import SETTING_KEYS, Setting
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, SELECTION_METRICS, harmonic_mean

(SELECTION,) = SELECTION_METRICS

SCHEMA = "1"
"""Version of this vocabulary, a tag of every run."""

LEVEL_TAG = "dualpt.level"
"""`sweep`, `trial` or `cell`."""
KEY_TAG = "dualpt.cell_key"
SETTING_TAG = "dualpt.setting"
"""`setting_hash` of the run's setting."""
SWEEP_TAG = "dualpt.sweep"
TRIAL_TAG = "dualpt.trial"
"""Name of the trial: a published method, `trial-001`, or `best`."""
KIND_TAG = "dualpt.kind"
SAMPLE_TAG = "dualpt.sample"
"""Fingerprint of the drawn few-shot sample."""
WEIGHTS_TAG, NUMERICS_TAG = "dualpt.weights", "dualpt.numerics"
SOFTWARE_TAG, DEVICE_TAG = "dualpt.software", "dualpt.device"
"""What a cell's numbers were computed with (`dualpt.core.provenance`)."""
ORIGIN_TAGS = (SAMPLE_TAG, WEIGHTS_TAG, NUMERICS_TAG, SOFTWARE_TAG, DEVICE_TAG)
"""Carried along when a cell's numbers are reused."""
CHOSEN = "chosen."
"""Beginning of the parameters of a cell that hold options which its method chose on validation images."""
FAILURE_TAG = "dualpt.failure"
ARTIFACTS_TAG = "dualpt.artifacts"
"""On a cell whose numbers are on record while its artifacts wait in an outbox: where, and why."""
FILES_TAG = "dualpt.files"
"""On a cell: the names of its artifacts, with commas between; those recorded before this tag have none."""
RECORD_TAG = "dualpt.record"
"""Number of the attempt at a cell: whoever writes it a second time finds the first by it."""
LAUNCH_TAG = "dualpt.launch"
"""On a sweep: who runs it, when that process last gave a sign of life, and how far it is."""
GRID_TAG = "dualpt.grid"
"""On a sweep: the trials and the grid that its launches declared: what never began is known by them. A long text is in
parts, `dualpt.grid.1` and so on, and this tag is empty."""
DATA_TAG = "dualpt.data"
"""On a sweep: titles of the user's own datasets, and what a reader of results must know of each dataset
(`dualpt.sweeps.planning.data_notes`); in parts where it is long, as `GRID_TAG`."""
LAUNCHED_TAG = "dualpt.launched"
"""On a sweep: how it was last launched (`dualpt.sweeps.ledger.launch_record`); in parts where it is long, as
`GRID_TAG`."""
SEARCH_TAG = "dualpt.search"
"""On a sweep: how its launches searched (`dualpt.sweeps.planning.search_record`)."""
REUSED_TAG = "dualpt.reused_from"
"""Run that a cell's numbers (and artifacts) were taken from."""
SUPERSEDED_TAG = "dualpt.superseded"
"""On a trial whose name has since been given to another setting: its cells are kept and no longer shown."""
PRUNED_TAG = "dualpt.pruned"
"""On a trial that a race gave up: after how many datasets. Its run is KILLED, not FINISHED: it is incomplete."""
STOPPED_TAG = "dualpt.stopped"
"""On a trial that a user has stopped: who, and when. Its run is KILLED; its finished cells are kept and reused."""
STEER_TAG = "dualpt.steer"
"""Beginning of tags of a sweep's run: what users ask of its launch (`dualpt.sweeps.ledger.launch_requests`)."""
RENAMING_TAG = "dualpt.renaming"
"""On a sweep that is being renamed: from what, to what (`dualpt.sweeps.steering.renaming`)."""
SCHEMA_TAG = "dualpt.schema"
BEST_TAG, BEST_VALUE_TAG = "dualpt.best_trial", "dualpt.best_value"
"""On a sweep: the candidate with the highest mean validation accuracy, and that mean in percent."""
SELECTED_TAG = "dualpt.selected"
"""On a trial: `true` where it is the candidate that `BEST_TAG` of its sweep names."""
NUMBER_TAG = "dualpt.optuna_trial"
"""On a candidate: Optuna's number of the trial that it is, the last where it was proposed again."""
PARENT_TAG = "mlflow.parentRunId"
NOTED_TAG, USER_TAG = "dualpt.note", "dualpt.tag"
"""What users have noted of a run; the beginning of the tags that are theirs, `dualpt.tag.keep`."""
NOTE_TAG = "mlflow.note.content"
"""What MLflow shows as an experiment's or a run's description."""

FIXED_TAG = "dualpt.fixed_setting"
"""On a sweep: the fixed setting that its launches share (`dualpt.sweeps.ledger.fixed_setting`)."""

MOVABLE = ("data.root", "data.features", "descriptions.bank", "backbone.pretrained")
"""Keys that say where things are on a machine: they may be given again for a finished cell, and for a later launch."""

DATASET_PARAM, PROTOCOL_PARAM, SHOTS_PARAM, SEED_PARAM = "data.dataset", "data.protocol", "data.shots", "data.seed"
TARGETS_PARAM = "data.targets"
"""Only on cells whose protocol has targets."""
DRAW_PARAM = "data.draw"
"""Only on cells whose classes are not drawn equally often (`dualpt.core.data.draws.imbalanced`)."""
SELECTION_PARAM = "data.selection"
"""Only on cells that are not judged by the few-shot validation images (`dualpt.core.selection_rules`)."""

Kind = Literal["baseline", "search", "best", "reference", "variant"]
"""A published method over the whole grid, a candidate over the judged part, the selected setting over the whole; of
an ablation, the setting that variants are compared with, and the variants, over the whole grid too."""

Identity = tuple[str, Kind, str]
"""Of a trial: its name, its kind and the hash of its setting."""

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class KeyedCell:
    """A cell with the hash of everything that determines its numbers."""

    cell: Cell
    key: str


@dataclass(frozen=True)
class TrialRef:
    """Where a trial's cells are recorded; small and picklable, it travels to the workers."""

    experiment_id: str
    run_id: str
    sweep: str
    name: str
    kind: Kind
    setting: str
    """`setting_hash`"""

    @property
    def identity(self) -> Identity:
        """What a later launch finds the trial again by."""
        return self.name, self.kind, self.setting


@dataclass(frozen=True)
class TrialCell(KeyedCell):
    """A cell with the trial it is recorded under."""

    trial: TrialRef

    @cached_property
    def shape(self) -> str:
        """What packs that train in the same steps share (`core.cell.pack_of`); asked for again and again."""
        return pack_of(self.cell)


@dataclass(frozen=True)
class TrialRow:
    """A trial as recorded."""

    ref: TrialRef
    status: Status
    superseded: bool
    pruned: bool = False
    """Whether a race gave it up: its run is KILLED, its finished cells are kept."""
    selected: bool = False
    """Whether its setting is the best candidate's."""
    stopped: bool = False
    """Whether a user has stopped it: launches leave it as it stands until they are asked to go on."""
    noted: str = ""
    aside: str = ""
    """Of a superseded trial: `before 1`, `before 2`, … tell it from its namesakes; `before` for earlier versions'."""

    @property
    def shown_name(self) -> str:
        """Its name; of a superseded one with what tells it apart: `trial-001 (before 1)`."""
        return f"{self.ref.name} ({self.aside})" if self.superseded else self.ref.name


@dataclass(frozen=True)
class SweepRow:
    """A sweep as recorded."""

    run_id: str
    name: str
    description: str
    status: Status
    best: str | None
    """Name of the best candidate, and its mean validation accuracy as text, in percent."""
    best_value: str | None
    launch: str = ""
    """What the process that last ran it wrote of itself (`dualpt.sweeps.ledger.heartbeat`)."""
    declared: str = ""
    """The trials and grids that its last launches declared (`dualpt.sweeps.planning.declared`)."""
    data_notes: str = ""
    """What is recorded of its datasets (`dualpt.sweeps.planning.data_notes`)."""
    fixed: str = ""
    """The fixed setting that its launches share; empty for sweeps of earlier versions."""
    launched: str = ""
    """How it was last launched (`dualpt.sweeps.ledger.launch_record`); empty for sweeps of earlier versions."""
    search: str = ""
    """How its launches searched (`dualpt.sweeps.planning.search_record`); empty without a search, and for sweeps of
    earlier versions."""
    renaming: str = ""
    """From what to what it is being renamed (JSON: `from`, `to`); empty where that is done."""
    noted: str = ""
    """What users have noted of it (`dualpt.sweeps.ledger.contents.noted_in`), as for trials and cells."""
    queued: int = 0
    """Candidates that users have cloned and no launch has taken yet."""

    @property
    def best_accuracy(self) -> float | None:
        """`best_value` as a number, of which earlier versions kept two decimals; None where it is none."""
        try:
            return None if self.best_value is None else float(self.best_value)
        except ValueError:  # a tag that was edited by hand
            return None


@dataclass(frozen=True)
class CellRow:
    """A cell as recorded."""

    run_id: str
    trial_run_id: str
    key: str
    trial: str
    kind: str
    dataset: str
    protocol: str
    shots: int
    seed: int
    status: Status
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    """The setting's active keys and the cell's own, by dotted name."""
    seconds: float
    """This cell's share of the wall time of the pack it was trained in."""
    recorded_ms: int
    """When it was recorded, in milliseconds since the epoch."""
    failure: str | None = None
    reused_from: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    """Values of those `ORIGIN_TAGS` that the cell has."""
    artifacts_wait: str | None = None
    """Where its artifacts wait, and why; None where they are in their place."""
    noted: str = ""

    @property
    def finished(self) -> bool:
        return self.status == "FINISHED"

    @property
    def place(self) -> tuple[str, str, str, int, int]:
        """What a trial has at most one result for."""
        return (self.trial_run_id, self.dataset, self.protocol, self.shots, self.seed)

    def flat(self) -> dict[str, Any]:
        """One row of a table: identity, status, and one column per metric.

        A metric that is infinite is missing there, like one that is not a number: no mean includes it, and tables note
        it.
        """
        selection = self.params.get(SELECTION_PARAM, "validation" if self.shots else None)
        identity = ("trial", "kind", "dataset", "protocol", "shots", "seed", "status", "seconds", "key", "run_id")
        return (
            {name: getattr(self, name) for name in (*identity, "failure", "reused_from")}
            | {
                "selection": selection,
                "sample": self.origin.get(SAMPLE_TAG),
                "draw": self.params.get(DRAW_PARAM, "standard" if self.shots else None),
            }
            | {name: value if math.isfinite(value) else math.nan for name, value in self.metrics.items()}
        )


@dataclass(frozen=True)
class CellOutcome:
    """What the driver learns of a cell. Test accuracies stay in the ledger: no searcher can see them."""

    key: str
    run_id: str
    selection: float | None
    """Validation accuracy in percent; None where the method has none."""
    failure: str | None


class MethodTitle(NamedTuple):
    """What tables call a method that doesn't ship, as its sweep recorded it."""

    title: str
    short_title: str
    group: str


def outcome_of(row: CellRow) -> CellOutcome:
    """The part of a recorded cell that the driver may see."""
    return CellOutcome(row.key, row.run_id, row.metrics.get(SELECTION), row.failure)


def recorded_keys(params: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """The keys of settings among recorded parameters: those that every setting has, then methods' own options."""
    own = (key for each in params for key in each if key.partition(".")[0] == each.get("method"))
    return tuple(dict.fromkeys((*SETTING_KEYS, *own)))  # `prompt` is a method's name and a section of every setting


def setting_hash(setting: Setting) -> str:
    """Short hash (16 hex digits) of the keys that can change a result."""
    return fingerprint(active_values(setting))[:16]


def latest(rows: Iterable[CellRow]) -> list[CellRow]:
    """One row per place, in the order recorded: of the attempts at the key tried last, a finished one if any."""
    attempts: dict[tuple[str, str, str, int, int], list[CellRow]] = {}
    for row in sorted(rows, key=lambda row: (row.recorded_ms, row.run_id)):
        attempts.setdefault(row.place, []).append(row)
    kept = []
    for tried in attempts.values():
        current = [row for row in tried if row.key == tried[-1].key]
        kept.append(next((row for row in reversed(current) if row.finished), current[-1]))
    return sorted(kept, key=lambda row: (row.recorded_ms, row.run_id))


def grid_metrics(rows: Iterable[CellRow]) -> dict[str, float]:
    """Aggregates of a trial: `grid/<dataset>/<metric>` over seeds and shots, `grid/mean/<metric>` over its datasets.

    The harmonic mean is taken of the averaged base and new accuracies, as the field reports it, and not averaged
    itself.
    """
    finished = [row for row in rows if row.finished]
    by_dataset = {
        dataset: _means([row.metrics for row in finished if row.dataset == dataset])
        for dataset in dict.fromkeys(row.dataset for row in finished)
    }
    aggregates = {f"grid/{d}/{metric}": value for d, means in by_dataset.items() for metric, value in means.items()}
    aggregates |= {f"grid/mean/{metric}": value for metric, value in _means(list(by_dataset.values())).items()}
    return aggregates | {"grid/cells": float(len(finished)), "grid/datasets": float(len(by_dataset))}


def _means(metrics: list[Mapping[str, float]]) -> dict[str, float]:
    """The mean of every metric that all of `metrics` define."""
    if not metrics:
        return {}
    shared = [name for name in metrics[0] if all(name in other for other in metrics)]
    means = {name: statistics.fmean(m[name] for m in metrics) for name in shared}
    if BASE_ACCURACY in means and NEW_ACCURACY in means:
        means[HARMONIC_MEAN] = harmonic_mean(means[BASE_ACCURACY], means[NEW_ACCURACY])
    return {name: value for name, value in means.items() if math.isfinite(value)}
