"""From recorded cells to arrays: what each method scored, seeds by datasets, in one pass over the cells.

S seeds (1 for methods that draw no sample: their single result stands for every seed), D datasets.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.frames import finished_shots, untrained_methods
from dualpt.sweeps.comparison.labels import ordered_methods

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """What a table's methods are compared on: its columns, and what means are taken over."""

    datasets: tuple[str, ...]
    seeds: tuple[int, ...]


def method_values(cells: pd.DataFrame, grid: Grid, *, shots: int, metric: str) -> dict[str, Array]:
    """Method -> its finished values (S, D) at a number of shots, in the order of tables; NaN where one is missing.

    Args:
        cells: comparable cells (see `frames`).
    """
    single = untrained_methods(cells)
    found = {
        method: np.full((1 if method in single else len(grid.seeds), len(grid.datasets)), math.nan)
        for method in ordered_methods(cells["trial"].unique())
    }
    done = finished_at(cells, shots)
    if metric not in done:
        return found
    rows = {seed: row for row, seed in enumerate(grid.seeds)}
    columns = {dataset: column for column, dataset in enumerate(grid.datasets)}
    recorded = (done[name].tolist() for name in ("trial", "dataset", "seed", metric))
    for method, dataset, seed, value in zip(*recorded, strict=True):
        row = (None if seed else 0) if method in single else rows.get(seed)
        if row is not None and dataset in columns and not pd.isna(value):
            found[method][row, columns[dataset]] = value
    return found


def seed_averages(cells: pd.DataFrame, grid: Grid, *, shots: int, metric: str) -> dict[str, Array]:
    """Method -> its average over datasets, by seed (S,); NaN where a dataset is missing. H is taken of averages."""
    if metric != HARMONIC_MEAN:
        values = method_values(cells, grid, shots=shots, metric=metric)
        return {method: own.mean(axis=1) for method, own in values.items()}
    base, new = (seed_averages(cells, grid, shots=shots, metric=half) for half in (BASE_ACCURACY, NEW_ACCURACY))
    return {name: np.array(list(map(harmonic_mean, base[name], new[name]))) for name in base}


def one_draw_for_all_seeds(cells: pd.DataFrame, *, shots: int) -> frozenset[tuple[str, str]]:
    """(method, dataset) of which every seed trained on the same images, as where features came with a single draw.

    Seeds then say nothing about draws, however many there are. Cells whose draw isn't on record count as different.
    """
    done = finished_at(cells, shots)
    if "sample" not in done or done.empty:
        return frozenset()
    drawn = done[done["shots"] > 0]
    by_place = drawn.groupby(["trial", "dataset"]).agg(
        cells=("seed", "size"), seeds=("seed", "nunique"), draws=("sample", "nunique"), known=("sample", "count")
    )
    same = by_place[(by_place["seeds"] > 1) & (by_place["draws"] == 1) & (by_place["known"] == by_place["cells"])]
    return frozenset((str(method), str(dataset)) for method, dataset in same.index)


def datasets_of_one_draw(cells: pd.DataFrame, grid: Grid, *, shots: int) -> tuple[str, ...]:
    """Those on which some method had the same training images for every seed: features came with a single draw."""
    found = {dataset for _, dataset in one_draw_for_all_seeds(cells, shots=shots)}
    return tuple(dataset for dataset in grid.datasets if dataset in found)


def check_finished(cells: pd.DataFrame, shots: int, metric: str) -> None:
    """Refuse a table that would be empty.

    Raises:
        UserError: no finished cell has the metric, or none at these shots.
    """
    if shots and shots not in (available := finished_shots(cells, metric)):
        raise UserError(f"no finished cell has {metric} at {shots} shots (finished shots: {available or 'none'})")
    finished = finished_at(cells, shots)
    if metric not in finished or finished[metric].notna().sum() == 0:
        raise UserError(f"no finished cell has {metric}")


def finished_at(cells: pd.DataFrame, shots: int) -> pd.DataFrame:
    """Finished cells at a number of shots, and those of methods that draw no sample."""
    return cells[(cells["status"] == "FINISHED") & cells["shots"].isin([0, shots])]
