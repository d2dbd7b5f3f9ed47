"""What came of an ablation: its tables, the statistics against its reference, the effect of each factor."""

from dataclasses import replace

import pandas as pd

from dualpt.search_spaces.ablation import LoadedAblation
from dualpt.sweeps.comparison.claims import paired_results
from dualpt.sweeps.comparison.compare import comparison_tables, own_metric
from dualpt.sweeps.comparison.effects import Runs, corrected_together, effects_of, effects_table
from dualpt.sweeps.comparison.formats.documents import AnyTable
from dualpt.sweeps.comparison.frames import finished_shots, grid_of
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.tables.table import shots_text
from dualpt.sweeps.comparison.values import datasets_of_one_draw
from dualpt.sweeps.planning.plan import grid_cells


def ablation_cells(ablation: LoadedAblation, frame: pd.DataFrame) -> Selection:
    """The cells of the ablation on its declared grid: earlier variants and other parts stay in the ledger alone.

    Args:
        frame: all cells recorded under the ablation's name.

    Raises:
        UserError: none of the ablation's cells is on record.
    """
    grid = ablation.sweep.file.grid
    trials = [*ablation.sweep.file.baselines, *(variant.name for variant in ablation.sweep.variants)]
    cells = frame[frame["trial"].isin(trials) & frame["shots"].isin([0, *grid.shots])] if len(frame) else frame
    selection = select({ablation.sweep.file.name: cells}, protocol=grid.protocol)
    place = {name: number for number, name in enumerate(trials)}
    ordered = selection.cells.sort_values("trial", key=lambda names: names.map(place), kind="stable")
    planned = grid_cells(ablation.sweep, ablation.reference.setting)
    declared = pd.DataFrame([{"dataset": cell.dataset, "shots": cell.shots, "seed": cell.seed} for cell in planned])
    datasets, shots, seeds = grid_of(declared)
    return replace(selection, cells=ordered, datasets=tuple(datasets), shots=tuple(shots), seeds=tuple(seeds))


def ablation_tables(ablation: LoadedAblation, selection: Selection) -> list[AnyTable]:
    """At each number of shots: accuracies, differences to the reference, statistics, and effects where factors cross.

    With a single dataset, or a reference that lacks cells, there are tables and no statistics; the first table says so.
    """
    why = _no_statistics(ablation, selection)
    reference = None if why else ablation.reference.name
    if why:
        selection = replace(selection, remarks=(*selection.remarks, f"no statistics: {why}"))
    tables = comparison_tables(selection, all_shots=len(selection.shots) > 1, baseline=reference)
    if ablation.design == "factorial" and reference is not None:
        tables += _effects_tables(ablation, selection)
    return tables


def _no_statistics(ablation: LoadedAblation, selection: Selection) -> str:
    """Why nothing can be compared with the reference; empty where it can."""
    if len(selection.datasets) < 2:
        return "a claim is about datasets, and there is one"
    metric = own_metric(selection.protocol)
    for shots in selection.shots:
        paired, _ = paired_results(selection.cells, selection.grid, shots=shots, metric=metric)
        if ablation.reference.name not in paired:
            return f"'{ablation.reference.name}' lacks cells at {shots_text(shots)}, and pairs need all of them"
    return ""


def _effects_tables(ablation: LoadedAblation, selection: Selection) -> list[AnyTable]:
    """The effects at each number of shots that has every run, corrected together: they are read on one page."""
    metric = own_metric(selection.protocol)
    whole = {shots: runs for shots in selection.shots if (runs := _runs(ablation, selection, shots, metric))}
    found = corrected_together([effects_of(runs, ablation.factors, ablation.generators) for runs in whole.values()])
    counts = {"n_datasets": len(selection.datasets), "n_seeds": len(selection.seeds), "corrected": sum(map(len, found))}
    return [
        effects_table(
            effects,
            title=f"{metric} at {shots_text(shots)}: effects",
            generators=ablation.generators,
            one_draw=datasets_of_one_draw(selection.cells, selection.grid, shots=shots),
            **counts,
        )
        for shots, effects in zip(whole, found, strict=True)
    ]


def _runs(ablation: LoadedAblation, selection: Selection, shots: int, metric: str) -> Runs:
    """Levels and (D, S) results of every run of the design; empty where one lacks cells, which the tables say."""
    if shots not in finished_shots(selection.cells, metric):
        return []
    results, _ = paired_results(selection.cells, selection.grid, shots=shots, metric=metric)
    runs = [(v.levels, results[v.name]) for v in ablation.sweep.variants if v.name in results]
    return runs if len(runs) == len(ablation.sweep.variants) else []
