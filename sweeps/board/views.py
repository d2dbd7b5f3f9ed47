"""What the page shows of a sweep: how far it is, its grid, its candidates, its losses. Plain values, ready for JSON.

A page of 10,000 cells stays light, since cells are counted here by trial and dataset; settings are read of one cell per
trial.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dualpt.core.data.catalog import MINI_GRID, REAL_GRID
from dualpt.core.results import VAL_ACCURACY
from dualpt.sweeps.comparison.labels import column_title, method_title, remember_titles
from dualpt.sweeps.comparison.searched.candidate_ranks import (
    candidate_settings,
    is_judged,
    searched_keys,
    standard_error,
)
from dualpt.sweeps.launching.status import SweepStatus, status_from
from dualpt.sweeps.ledger.launch_record import launch_of, log_keys
from dualpt.sweeps.ledger.notes import notes_on
from dualpt.sweeps.ledger.reading import SweepReader
from dualpt.sweeps.ledger.trials_page import trials_page
from dualpt.sweeps.planning.data_notes import read_data_notes
from dualpt.sweeps.planning.declared import MissingCell, missing_cells
from dualpt.sweeps.records import CellRow

STATES = ("FINISHED", "FAILED", "KILLED", "RUNNING", "MISSING")
"""Order of the counts in an entry of the grid."""
MOST_CURVES = 60
"""Losses drawn at once: the latest cells, since more cannot be told apart."""


@dataclass(frozen=True)
class Trial:
    """One row of the grid."""

    name: str
    title: str
    kind: str
    running: bool
    pruned: bool
    stopped: bool
    """Whether a user has stopped it."""
    selected: bool
    counts: list[list[int]]
    """By dataset: cells in each of `STATES`."""
    value: float | None
    """Mean validation accuracy over its finished cells, in percent."""
    standard_error: float | None
    """Of that mean, in points; None for fewer than two cells."""
    settings: dict[str, float | str]
    """Searched keys that matter beside the others; numbers as numbers. Empty for trials that are no candidates."""


@dataclass(frozen=True)
class SweepView:
    """One sweep as the page shows it."""

    name: str
    description: str
    status: dict[str, Any]
    """Of `SweepStatus`, without what the grid says."""
    basis: str | None
    """What the best candidate's accuracy rests on."""
    datasets: list[str]
    """Titles of the columns."""
    trials: list[Trial]
    keys: list[str]
    """Every searched key, in the order of the configuration."""
    log_keys: list[str]
    """Those of them that were searched on a logarithmic scale."""
    places: list[dict[str, Any]]
    """The (dataset, shots) that losses can be shown of."""
    trials_page: str
    """Of the sweep in MLflow: the address behind that of its server."""


def sweep_view(reader: SweepReader, name: str, rows: Sequence[CellRow]) -> SweepView:
    """Everything of a sweep but its losses.

    Args:
        rows: its cells, without parameters.

    Raises:
        UserError: there is no such sweep, or its runs cannot be read.
    """
    experiment = reader.named_experiment(name)
    sweep = reader.sweep_row(experiment)
    if sweep is not None:
        noted = read_data_notes(sweep.data_notes)
        remember_titles(noted.titles, noted.methods)
    status = status_from(name, rows, sweep, reader.pruned_trials(experiment))
    stopped = [ref.name for ref in reader.stopped_trials(experiment)]
    status = replace(status, stopped=stopped, notes=notes_on(reader, experiment, sweep, rows))
    missing = missing_cells(sweep.declared, rows) if sweep is not None else []
    datasets = in_order({row.dataset for row in rows} | {cell.dataset for cell in missing})
    settings = candidate_settings(reader, rows)
    keys = searched_keys(launch_of(sweep), settings)
    trials = _trials(rows, missing, datasets, status, keys, settings)
    trained = sorted({(row.dataset, row.shots) for row in rows if row.finished and row.shots})
    said = {name: value for name, value in asdict(status).items() if name not in ("trials", "candidates", "best_basis")}
    return SweepView(
        name=name,
        description="" if sweep is None else sweep.description,
        status=said,
        basis=None if status.best_basis is None else str(status.best_basis),
        datasets=[column_title(dataset) for dataset in datasets],
        trials=trials,
        keys=keys,
        log_keys=[] if sweep is None else [key for key in keys if key in log_keys(sweep.launched)],
        places=[{"dataset": d, "title": column_title(d), "shots": k} for d, k in trained],
        trials_page=trials_page("", experiment),
    )


def in_order(datasets: set[str]) -> list[str]:
    """The field's order of columns, others after it."""
    order = {name: place for place, name in enumerate((*REAL_GRID, *MINI_GRID))}
    return sorted(datasets, key=lambda name: (order.get(name, len(order)), name))


def _trials(
    rows: Sequence[CellRow],
    missing: Sequence[MissingCell],
    datasets: Sequence[str],
    status: SweepStatus,
    keys: Sequence[str],
    settings: Mapping[str, Mapping[str, str]],
) -> list[Trial]:
    own: dict[str, list[CellRow | MissingCell]] = defaultdict(list)
    for row in rows:
        own[row.trial].append(row)
    for cell in missing:
        own[cell.trial].append(cell)
    columns = {dataset: place for place, dataset in enumerate(datasets)}
    states = {state: place for place, state in enumerate(STATES)}
    trials = []
    for name, cells in own.items():
        counts = [[0] * len(STATES) for _ in datasets]
        for one in cells:
            counts[columns[one.dataset]][states[one.status]] += 1
        values = [c.metrics[VAL_ACCURACY] for c in cells if isinstance(c, CellRow) and c.finished and is_judged(c)]
        trials.append(
            Trial(
                name=name,
                title=method_title(name),
                kind=cells[0].kind,
                running=name in status.running,
                pruned=name in status.pruned,
                stopped=name in status.stopped,
                selected=name == status.best,
                counts=counts,
                value=statistics.fmean(values) if values else None,
                standard_error=standard_error(values),
                settings={key: _value(found) for key in keys if (found := settings.get(name, {}).get(key)) is not None},
            )
        )
    kinds = ("baseline", "reference", "variant", "best", "search")
    trials.sort(key=lambda trial: (kinds.index(trial.kind) if trial.kind in kinds else len(kinds), trial.name))
    return trials


def _value(text: str) -> float | str:
    """A number where the text is one that JSON can hold."""
    try:
        found = float(text)
    except ValueError:
        return text
    return found if math.isfinite(found) else text


def loss_view(reader: SweepReader, rows: Sequence[CellRow], dataset: str, shots: int) -> list[dict[str, Any]]:
    """The losses of the latest cells of one dataset at a number of shots: one line per cell."""
    shown = [row for row in rows if row.finished and row.dataset == dataset and row.shots == shots][-MOST_CURVES:]
    sources = {row.run_id: row.reused_from or row.run_id for row in shown}
    curves = reader.loss_curves(list(dict.fromkeys(sources.values())))
    return [
        {"trial": row.trial, "title": method_title(row.trial), "seed": row.seed, "points": points}
        for row in shown
        if (points := curves[sources[row.run_id]])
    ]
