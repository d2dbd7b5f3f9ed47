"""What a claim stands on: the cells of both methods, what was searched, the draws, and what computed them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualpt.core.errors import UserError
from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps import records
from dualpt.sweeps.claiming.commands import training_command
from dualpt.sweeps.comparison.labels import method_title
from dualpt.sweeps.comparison.searched.correction import Selected
from dualpt.sweeps.comparison.selection import Selection
from dualpt.sweeps.comparison.selection_basis import selection_basis
from dualpt.sweeps.comparison.tables.table import Entry, shots_text
from dualpt.sweeps.comparison.values import method_values, one_draw_for_all_seeds
from dualpt.sweeps.records import CellRow

SHOWN_PLACES = 3
NOT_RECORDED = "not on record"


@dataclass(frozen=True)
class Side:
    """One of the two methods."""

    method: str
    title: str
    by_dataset: Mapping[str, Entry]
    settings: Mapping[str, str]
    """Every key that can change its numbers, as recorded."""
    command: str
    """Trains and judges it again."""


@dataclass(frozen=True)
class Searched:
    """What the claimed setting was selected from."""

    candidates: int
    given_up: int
    """By a race, or cut off: judged on a part."""
    samplers: tuple[str, ...]
    racing: tuple[str, ...]
    earlier_sweeps: tuple[str, ...]
    datasets: tuple[str, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    validation_accuracy: float
    """Of the selected candidate, mean over its cells, in percent: a maximum, and so likely too high."""
    rests_on: str | None
    """What that is the highest of and the mean of, with its standard error and numbers of images; None if unknown."""


def check_complete(selection: Selection, sides: Sequence[str], shots: int, metric: str) -> None:
    """Refuse a claim whose pairs have holes."""
    values = method_values(selection.cells, selection.grid, shots=shots, metric=metric)
    for side in sides:
        rows, columns = np.nonzero(np.isnan(values[side]))
        seeds = selection.seeds if len(values[side]) > 1 else (0,)
        places = [f"{selection.datasets[column]} seed {seeds[row]}" for row, column in zip(rows, columns, strict=True)]
        if places:
            more = f" and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
            raise UserError(
                f"{method_title(side)} lacks {metric} at {shots_text(shots)} for {', '.join(places[:SHOWN_PLACES])}"
                f"{more}: a claim needs every cell; run the sweep again"
            )


def cells_of(rows: Sequence[CellRow], method: str, selection: Selection, shots: int) -> list[CellRow]:
    """A method's finished cells at these shots, in the order of columns; at 0 where it draws no sample."""
    own = [row for row in rows if row.trial == method and row.protocol == selection.protocol and row.finished]
    place = {dataset: number for number, dataset in enumerate(selection.datasets)}
    return sorted((row for row in own if row.shots in (0, shots)), key=lambda row: (place[row.dataset], row.seed))


def side_of(method: str, selection: Selection, own: Sequence[CellRow], shots: int, metric: str) -> Side:
    """One method with its results; `own` are its finished cells (`cells_of`)."""
    values = method_values(selection.cells, selection.grid, shots=shots, metric=metric)[method]
    one_draw = one_draw_for_all_seeds(selection.cells, shots=shots)
    entries = {name: Entry.over_seeds(column) for name, column in zip(selection.datasets, values.T, strict=True)}
    entries = {name: one.of_one_draw if (method, name) in one_draw else one for name, one in entries.items()}
    settings = {key: own[0].params[key] for key in records.recorded_keys([own[0].params]) if key in own[0].params}
    return Side(method, method_title(method), entries, settings, training_command(own))


def searched_of(
    selected: Selected | None, rows: Sequence[CellRow], validation_images: tuple[int, int] | None
) -> Searched | None:
    """What a setting was selected from; None for a method that was declared.

    Args:
        rows: all shown cells of the sweep.
        validation_images: fewest and most by which a candidate was judged in one cell.
    """
    if selected is None:
        return None
    search, judged = selected.search, selected.search.judged
    basis = selection_basis(rows, search.complete[0], validation_images)
    return Searched(
        candidates=selected.count,
        given_up=len(set(search.tried) - set(search.complete)),
        samplers=tuple(search.record.samplers),
        racing=tuple(search.record.racing),
        earlier_sweeps=tuple(search.record.earlier_sweeps),
        datasets=tuple(dict.fromkeys(map(str, judged["dataset"]))),
        shots=tuple(sorted(set(map(int, judged["shots"])))),
        seeds=tuple(sorted(set(map(int, judged["seed"])))),
        validation_accuracy=float(judged.loc[judged["trial"] == search.complete[0], VAL_ACCURACY].mean()),
        rests_on=None if basis is None else str(basis),
    )


def draws_of(rows: Sequence[CellRow]) -> list[dict[str, Any]]:
    """The draw of each place, which both sides share.

    Raises:
        UserError: two draws at one place: the sides would not be paired.
    """
    places: dict[tuple[str, int, int], set[str]] = {}
    for row in rows:
        if row.shots:
            sample = row.origin.get(records.SAMPLE_TAG, NOT_RECORDED)
            places.setdefault((row.dataset, row.shots, row.seed), set()).add(sample)
    for (dataset, shots, seed), found in places.items():
        if len(found) > 1:
            raise UserError(
                f"{dataset} at {shots_text(shots)}, seed {seed}, has two draws ({', '.join(sorted(found))}): the data "
                "changed in between; run the sweep again under another name"
            )
    return [
        {"dataset": dataset, "shots": shots, "seed": seed, "fingerprint": min(found)}
        for (dataset, shots, seed), found in sorted(places.items())
    ]


def computed_with(rows: Sequence[CellRow]) -> dict[str, dict[str, int]]:
    """As `ClaimPage.computed_with`, of these cells."""
    tags = {
        "software": records.SOFTWARE_TAG,
        "device": records.DEVICE_TAG,
        "numerics version": records.NUMERICS_TAG,
        "weights or imported features (SHA-256)": records.WEIGHTS_TAG,
    }
    return {
        title: dict(Counter(row.origin.get(tag, NOT_RECORDED) for row in rows).most_common())
        for title, tag in tags.items()
    }
