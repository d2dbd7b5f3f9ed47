"""The scores of earlier launches' candidates, read from their recorded cells."""

import statistics
from collections.abc import Iterable, Sequence

from dualpt.core.cell import Cell
from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps.records import CellRow


def recorded_scores(judged: Sequence[Cell], rows: Iterable[CellRow]) -> dict[str, list[float]]:
    """Each candidate's mean validation accuracy, in percent, on its first datasets, as far as all cells are finished.

    Args:
        judged: the cells of one candidate, in order.
        rows: recorded cells of the candidates; those outside the judged places are ignored.
    """
    values: dict[str, dict[tuple[str, int, int], float]] = {}
    for row in rows:
        if row.finished and VAL_ACCURACY in row.metrics:
            values.setdefault(row.trial, {})[row.dataset, row.shots, row.seed] = row.metrics[VAL_ACCURACY]
    places: dict[str, list[tuple[str, int, int]]] = {}
    for cell in judged:
        places.setdefault(cell.dataset, []).append((cell.dataset, cell.shots, cell.seed))
    return {name: _scores(list(places.values()), own) for name, own in values.items()}


def _scores(
    by_dataset: Sequence[Sequence[tuple[str, int, int]]], values: dict[tuple[str, int, int], float]
) -> list[float]:
    scores = []
    for places in by_dataset:
        if not all(place in values for place in places):
            break
        scores.append(statistics.fmean(values[place] for place in places))
    return scores
