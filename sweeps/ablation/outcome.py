"""What came of a study: its tables, the statistics against its reference, the effect of each factor."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from dualpt.search_spaces.ablation import LoadedStudy
from dualpt.sweeps.comparison.claims import paired_results
from dualpt.sweeps.comparison.compare import own_metric, tables_of
from dualpt.sweeps.comparison.effects import effects_of, effects_table
from dualpt.sweeps.comparison.formats.documents import AnyTable
from dualpt.sweeps.comparison.frames import finished_shots, grid_of
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.tables import shots_text
from dualpt.sweeps.planning.plan import grid_cells


def study_cells(study: LoadedStudy, frame: pd.DataFrame) -> Selection:
    """The cells of the study on its declared grid: earlier variants and other parts stay in the ledger alone.

    Args:
        frame: all cells recorded under the study's name.

    Raises:
        UserError: none of the study's cells is on record.
    """
    grid = study.sweep.file.grid
    trials = [*study.sweep.file.baselines, *(variant.name for variant in study.sweep.variants)]
    cells = frame[frame["trial"].isin(trials) & frame["shots"].isin([0, *grid.shots])] if len(frame) else frame
    selection = select({study.sweep.file.name: cells}, protocol=grid.protocol)
    place = {name: number for number, name in enumerate(trials)}
    ordered = selection.cells.sort_values("trial", key=lambda names: names.map(place), kind="stable")
    planned = grid_cells(study.sweep, study.reference.setting)
    declared = pd.DataFrame([{"dataset": cell.dataset, "shots": cell.shots, "seed": cell.seed} for cell in planned])
    datasets, shots, seeds = grid_of(declared)
    return replace(selection, cells=ordered, datasets=tuple(datasets), shots=tuple(shots), seeds=tuple(seeds))


def study_tables(study: LoadedStudy, selection: Selection) -> list[AnyTable]:
    """At each number of shots: accuracies, differences to the reference, statistics, and effects where factors cross.

    With a single dataset, or a reference that lacks cells, there are tables and no statistics; the first table says so.
    """
    why = _no_statistics(study, selection)
    reference = None if why else study.reference.name
    if why:
        selection = replace(selection, remarks=(*selection.remarks, f"no statistics: {why}"))
    tables = tables_of(selection, all_shots=len(selection.shots) > 1, baseline=reference)
    if study.design == "factorial" and reference is not None:
        tables += [table for shots in selection.shots for table in _effects(study, selection, shots)]
    return tables


def _no_statistics(study: LoadedStudy, selection: Selection) -> str:
    """Why nothing can be held against the reference; empty where it can."""
    if len(selection.datasets) < 2:
        return "a claim is about datasets, and there is one"
    metric = own_metric(selection.protocol)
    for shots in selection.shots:
        if study.reference.name not in paired_results(selection.cells, selection.grid, shots=shots, metric=metric)[0]:
            return f"'{study.reference.name}' lacks cells at {shots_text(shots)}, and pairs need all of them"
    return ""


def _effects(study: LoadedStudy, selection: Selection, shots: int) -> Sequence[AnyTable]:
    metric = own_metric(selection.protocol)
    if shots not in finished_shots(selection.cells, metric):
        return []
    results, _ = paired_results(selection.cells, selection.grid, shots=shots, metric=metric)
    runs = [(v.levels, results[v.name]) for v in study.sweep.variants if v.name in results]
    if len(runs) < len(study.sweep.variants):
        return []  # the tables say which cells are missing; effects need every run
    title = f"{metric} at {shots_text(shots)}: effects"
    effects = effects_of(runs, study.factors, study.generators)
    counts = {"n_datasets": len(selection.datasets), "n_seeds": len(selection.seeds)}
    return [effects_table(effects, title=title, generators=study.generators, **counts)]
