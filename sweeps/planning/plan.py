"""What a sweep will run, before anything runs: which settings, over which cells, in which order.

Pure: reads no file and loads neither torch, Ray nor MLflow.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dualpt.core.cell import Cell, check_serves, pack_of, selection_of
from dualpt.core.config.sections import Protocol
from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import dataset_info, expand_datasets
from dualpt.core.data.protocols import targets_of
from dualpt.core.presets import find_method, method_setting
from dualpt.core.selection_rules import SelectionRule
from dualpt.search_spaces.sweep import LoadedSweep, Variant
from dualpt.sweeps.records import CellRow, Identity, KeyedCell, Kind, setting_hash

Keyed = TypeVar("Keyed", bound=KeyedCell)


@dataclass(frozen=True)
class TrialPlan:
    """One setting and the cells it is judged on, in the order they run."""

    name: str
    kind: Kind
    setting: Setting
    cells: tuple[Cell, ...]
    number: int | None = None
    """Optuna's of a candidate; None of all others."""

    @property
    def identity(self) -> Identity:
        """What its run is found again by."""
        return self.name, self.kind, setting_hash(self.setting)


@dataclass(frozen=True)
class SweepPlan:
    """What is known of a sweep before its search proposes anything."""

    baselines: tuple[TrialPlan, ...]
    """Published methods and an ablation's variants: all that runs over the whole grid, whatever a search finds."""
    candidates: int
    candidate_cells: int
    """Cells that each candidate is judged on."""
    best_cells: int
    """Cells of the selected setting: the whole grid, of which those it was judged on are known by then."""

    @property
    def cells(self) -> int:
        """Cells on record at the end; those that several trials share are trained once."""
        known = sum(len(baseline.cells) for baseline in self.baselines)
        return known + self.candidates * self.candidate_cells + self.best_cells

    @property
    def largest_trial(self) -> int:
        """Cells of the trial that has the most of them."""
        return max(1, self.candidate_cells, self.best_cells, *(len(baseline.cells) for baseline in self.baselines))

    def without(self, stopped: Collection[Identity]) -> "SweepPlan":
        """The plan without the baselines and variants that users have stopped."""
        return replace(self, baselines=tuple(plan for plan in self.baselines if plan.identity not in stopped))


@dataclass(frozen=True)
class Unfinished:
    """What a launch has left to train."""

    planned: tuple[Cell, ...]
    """Cells of baselines and variants."""
    unproposed: int
    """Cells of candidates whose settings the search has yet to propose."""
    unselected: int
    """Cells of the selected setting that it isn't judged on as a candidate."""


@dataclass(frozen=True)
class PlanCounts:
    """A plan compared with the ledger."""

    cells: int
    done: int
    packs: int
    """Packs of the baselines left to train; those of candidates are counted as they are proposed."""
    left: Unfinished

    @property
    def missing(self) -> int:
        return self.cells - self.done

    def numbers(self) -> dict[str, int]:
        """What a JSON document shows of it."""
        return {"cells": self.cells, "done": self.done, "packs": self.packs, "missing": self.missing}


def plan_sweep(sweep: LoadedSweep) -> SweepPlan:
    """Expand a sweep file.

    Raises:
        UserError: an unknown dataset.
    """
    file, search = sweep.file, sweep.file.search
    variants = (plan_variant(variant, sweep) for variant in sweep.variants)
    baselines = (*(plan_baseline(name, sweep) for name in file.baselines), *variants)
    if search is None:
        return SweepPlan(baselines, candidates=0, candidate_cells=0, best_cells=0)
    first = file.grid.shots[0] if file.searches_shots else None
    judged = len(judged_cells(sweep, sweep.reference, first))
    return SweepPlan(baselines, search.trials, judged, len(grid_cells(sweep, sweep.reference, first)))


def plan_baseline(name: str, sweep: LoadedSweep) -> TrialPlan:
    """A published method over the whole grid, with the file's fixed values beneath its own."""
    setting = method_setting(name, sweep.file.base_values(), sweep.file.grid.protocol)
    return TrialPlan(find_method(name)[0], "baseline", setting, grid_cells(sweep, setting, searched=False))


def plan_variant(variant: Variant, sweep: LoadedSweep) -> TrialPlan:
    """A variant of an ablation, or its reference, over the whole grid."""
    kind: Kind = "reference" if variant.is_reference else "variant"
    return TrialPlan(variant.name, kind, variant.setting, grid_cells(sweep, variant.setting, searched=False))


def grid_cells(
    sweep: LoadedSweep, setting: Setting, shots: int | None = None, *, searched: bool = True
) -> tuple[Cell, ...]:
    """The whole grid, or its part at `shots`.

    Args:
        searched: whether the sweep's search proposed the setting.
    """
    grid = sweep.file.grid
    at = grid.shots if shots is None else [shots]
    rule = selection_of(setting, grid.selection, searched=searched and sweep.file.search is not None)
    return plan_cells(setting, grid.datasets, grid.protocol, at, grid.seeds, grid.targets, rule)


def judged_cells(sweep: LoadedSweep, setting: Setting, shots: int | None = None) -> tuple[Cell, ...]:
    """The part of the grid that candidates are judged on; `shots` where the candidate itself chose them."""
    grid, search = sweep.file.grid, sweep.file.search
    if search is None:
        return ()
    at = [shots] if shots is not None else search.shots or grid.shots
    datasets, seeds = search.datasets or grid.datasets, search.seeds or grid.seeds
    rule = selection_of(setting, grid.selection, searched=True)
    return plan_cells(setting, datasets, grid.protocol, at, seeds, grid.targets, rule)


def plan_cells(
    setting: Setting,
    datasets: Iterable[str],
    protocol: Protocol,
    shots: Sequence[int],
    seeds: Sequence[int],
    targets: Sequence[str] | None = None,
    selection: SelectionRule = "validation",
) -> tuple[Cell, ...]:
    """All cells of one setting in one fixed order, cheap ones first: by shots, then classes, then as listed.

    Zero-shot methods draw no sample, so they have one cell per dataset. `targets` are those of `core.data.protocols`.

    Raises:
        UserError: an unknown dataset, or a method on frozen features under a protocol that it doesn't serve.
    """
    check_serves(setting, protocol, shots, selection)
    root = setting.data.folder
    names = sorted(expand_datasets(datasets, root), key=lambda name: classes_of(name, root))
    tested = {name: targets_of(protocol, name, targets, root) for name in names}
    if not setting.trains:
        return tuple(Cell(setting, name, protocol, 0, 0, tested[name]) for name in names)
    return tuple(
        Cell(setting, name, protocol, k, seed, tested[name], selection)
        for k in sorted(shots)
        for name in names
        for seed in seeds
    )


def classes_of(name: str, root: Path | None) -> int:
    """Classes of a real dataset: they, with the shots, decide what a cell costs. Others are small."""
    info = dataset_info(name, root)
    return (info.n_classes or 0) if info.kind == "real" else 0


def into_packs(cells: Iterable[Keyed]) -> list[tuple[Keyed, ...]]:
    """Group cells that may train in the same steps (all seeds of a dataset and its shots), keeping their order."""
    packs: dict[str, list[Keyed]] = {}
    for keyed in cells:
        packs.setdefault(pack_of(keyed.cell), []).append(keyed)
    return [tuple(pack) for pack in packs.values()]


def count(
    plan: SweepPlan,
    rows: Sequence[CellRow],
    own: Sequence[CellRow],
    key: Callable[[Cell], str],
    given_up: Collection[str] = (),
) -> PlanCounts:
    """Compare a plan with the ledger.

    Args:
        plan: what the sweep will run.
        rows: finished cells of the whole store, which are reused wherever their key fits.
        own: finished cells of this sweep's experiment (none where its study is another): how far its search is.
        key: the cell key, `CellRunner.key`.
        given_up: names of the candidates that a race has given up: their missing cells do not count.
    """
    known = {row.key for row in rows}
    planned = [KeyedCell(cell, key(cell)) for baseline in plan.baselines for cell in baseline.cells]
    missing = [keyed for keyed in planned if keyed.key not in known]
    searched = min(sum(row.kind == "search" for row in own), plan.candidates * plan.candidate_cells)
    best = min(sum(row.kind == "best" for row in own), plan.best_cells)
    done = len(planned) - len(missing) + searched + best
    tried = sum(row.kind == "search" and row.trial in given_up for row in own)
    skipped = len(given_up) * plan.candidate_cells - tried
    unproposed = max(0, plan.candidates * plan.candidate_cells - searched - skipped)
    unselected = max(0, plan.best_cells - max(best, plan.candidate_cells))
    left = Unfinished(tuple(keyed.cell for keyed in missing), unproposed, unselected)
    return PlanCounts(plan.cells - skipped, done, len(into_packs(missing)), left)
