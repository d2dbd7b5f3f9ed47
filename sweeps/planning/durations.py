"""What cells will take, from what finished cells of the same shape took. Loads neither torch, Ray nor MLflow.

A cell's shape is all that its time depends on: method, backbone, prompts, epochs, batch, classes, shots, protocol and
device. What no cell of the shape has measured is unknown: a mean over other shapes would be off by any factor.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from dualpt.core.cell import Cell
from dualpt.core.config.activity import active_values
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import dataset_info
from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps import records
from dualpt.sweeps.planning.plan import SweepPlan, Unfinished, grid_cells, judged_cells
from dualpt.sweeps.records import CellRow

COST_KEYS = (
    "method",
    "backbone.name",
    "backbone.precision",
    "prompt.context_length",
    "prompt.n_prompts",
    "prompt.class_specific",
    "alignment.llm_form",
    "alignment.llm_target",
    "alignment.local_form",
    "alignment.ot_iterations",
    "optim.recipe",
    "optim.epochs",
    "optim.epoch_scale",
    "optim.batch_size",
    "data.views",
)
"""Keys of a setting that decide how much is computed, where they are active."""
COST_OPTIONS = ("views", "key_views", "epochs", "steps", "batch_size")
"""Names of such options among those of methods on frozen features."""
FORM_KEY, FORM_OPTIONS = "alignment.local_form", frozenset({"alignment.ot_iterations"})
"""A cost that comes and goes with a form: where the form is searched, it is too."""
TENTHS = 10
"""The spread of an estimate leaves out the quickest and the slowest tenth."""


@dataclass(frozen=True)
class TimeEstimate:
    """Training time of some cells on one worker."""

    seconds: float = 0.0
    """Of the cells that can be estimated."""
    low: float = 0.0
    high: float = 0.0
    """The same if every cell took what the quickest or the slowest tenth of its shape took."""
    known: float = 0.0
    """Cells that can be estimated."""
    unknown: float = 0.0
    """Cells of a shape that nothing measured."""
    measured: int = 0
    """Finished cells that the estimate rests on."""
    device: str = ""
    """What they ran on; empty where nothing was measured."""

    def plus(self, taken: Sequence[float], share: float) -> "TimeEstimate":
        """This, and a share of a cell of whose shape cells took `taken` seconds; none of them: it is unknown."""
        if not taken:
            return replace(self, unknown=self.unknown + share)
        bounds = statistics.quantiles(taken, n=TENTHS, method="inclusive") if len(taken) > 1 else taken
        return replace(
            self,
            seconds=self.seconds + share * statistics.fmean(taken),
            low=self.low + share * bounds[0],
            high=self.high + share * bounds[-1],
            known=self.known + share,
        )

    @property
    def complete(self) -> float | None:
        """Seconds of all the cells; None where those of some are unknown."""
        return None if self.unknown else self.seconds


@dataclass(frozen=True)
class PlannedCells:
    """Cells of which the same share is left to train."""

    cells: Sequence[Cell]
    share: float = 1.0
    """How much of them is left: 5 for five rounds of candidates, 0.5 for half a round."""
    searched: frozenset[str] = frozenset()
    """Keys that the search has yet to choose: finished cells with any values of them count."""


def left_to_train(sweep: LoadedSweep, left: Unfinished) -> list[PlannedCells]:
    """The cells that a launch of a sweep has left; candidates and the selected one begin as the reference."""
    searched = frozenset(parameter.key for parameter in sweep.space)
    shots = sweep.file.grid.shots[0] if sweep.file.searches_shots else None
    judged = judged_cells(sweep, sweep.reference, shots)
    groups = [PlannedCells(left.planned)]
    if left.unproposed:
        groups.append(PlannedCells(judged, left.unproposed / len(judged), searched))
    if left.unselected:
        whole = grid_cells(sweep, sweep.reference, shots)
        rest = [cell for cell in whole if cell not in judged] or whole
        groups.append(PlannedCells(rest, left.unselected / len(rest), searched))
    return groups


class RecordedSeconds:
    """Seconds of a store's finished cells by shape, on the device that cells were last trained on."""

    def __init__(self, rows: Iterable[CellRow], root: Path | None = None) -> None:
        """
        Args:
            rows: finished cells with the parameters of `cost_params`; copies of others' numbers are left out.
            root: the data root, where the user's own datasets are registered.
        """
        trained = [row for row in rows if row.shots > 0 and row.reused_from is None and math.isfinite(row.seconds)]
        last = max(trained, key=lambda row: (row.recorded_ms, row.run_id), default=None)
        self.device = "" if last is None else _device(last)
        self._rows = [row for row in trained if _device(row) == self.device]
        self._root = root
        self._sizes: dict[str, Size] = {}
        self._indices: dict[frozenset[str], dict[object, list[CellRow]]] = {}

    def estimate(self, planned: Iterable[PlannedCells]) -> TimeEstimate:
        """What planned cells take in all; those that draw no images take nothing."""
        total = TimeEstimate(device=self.device)
        used: set[str] = set()
        for group in planned:
            for cell in group.cells:
                found = self.of_shape(cell, group.searched)
                used.update(row.run_id for row in found)
                total = total.plus([row.seconds for row in found] if cell.shots else [0.0], group.share)
        return replace(total, measured=len(used))

    def of_shape(self, cell: Cell, searched: frozenset[str] = frozenset()) -> Sequence[CellRow]:
        """Finished cells of a cell's shape: those of its dataset, else those of datasets of the same size."""
        index = self._index(searched)
        shape = _shape_of(cell.setting, searched)
        place = (cell.protocol, cell.selection, cell.shots)
        own: Sequence[CellRow] = index.get((shape, place, cell.dataset), ())
        return own or index.get((shape, place, self._size(cell.dataset)), ())

    def _index(self, searched: frozenset[str]) -> dict[object, list[CellRow]]:
        if searched not in self._indices:
            index = self._indices[searched] = {}
            for row in self._rows:
                shape = _shape(row.params, searched)
                place = (row.protocol, row.params.get(records.SELECTION_PARAM, "validation"), row.shots)
                for dataset in (row.dataset, self._size(row.dataset)):
                    index.setdefault((shape, place, dataset), []).append(row)
        return self._indices[searched]

    def _size(self, dataset: str) -> "Size":
        if dataset not in self._sizes:
            self._sizes[dataset] = _size_of(dataset, self._root)
        return self._sizes[dataset]


def settings_of(sweep: LoadedSweep, plan: SweepPlan) -> list[Setting]:
    """The settings of a sweep that are known before it runs."""
    return [*(baseline.setting for baseline in plan.baselines), sweep.reference]


def cost_params(settings: Iterable[Setting]) -> list[str]:
    """The recorded parameters that decide what cells of these settings take."""
    own = (key for setting in settings for key in active_values(setting) if key.rpartition(".")[2] in COST_OPTIONS)
    return list(dict.fromkeys((*COST_KEYS, *own)))


Size = tuple[object, ...]
"""What datasets have in common that take the same time."""


def _size_of(dataset: str, root: Path | None) -> Size:
    """Its classes as published, or its images; the user's own datasets and unknown ones are like themselves alone."""
    try:
        info = dataset_info(dataset, root)
    except UserError:  # it was recorded with another data root
        return (dataset,)
    return (info.kind, info.n_classes or info.n_images or dataset)


def _device(row: CellRow) -> str:
    return row.origin.get(records.DEVICE_TAG, "")


@lru_cache(maxsize=4096)
def _shape_of(setting: Setting, searched: frozenset[str]) -> frozenset[tuple[str, str]]:
    return _shape({key: str(value) for key, value in active_values(setting).items()}, searched)


def _shape(params: Mapping[str, str], searched: frozenset[str]) -> frozenset[tuple[str, str]]:
    own = {f"{params.get('method')}.{option}" for option in COST_OPTIONS}
    ignored = searched | FORM_OPTIONS if FORM_KEY in searched else searched
    decisive = (own.union(COST_KEYS) - ignored) & params.keys()
    return frozenset((key, params[key]) for key in decisive)
