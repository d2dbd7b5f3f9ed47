"""The candidates of a search as people ask for them: rank, validation accuracy, searched values, cells, state."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dualpt.core.data.catalog import expand_datasets
from dualpt.core.errors import UserError
from dualpt.core.results import VAL_ACCURACY
from dualpt.search_spaces.overrides import recorded_override
from dualpt.sweeps import records
from dualpt.sweeps.ledger.launch_record import LaunchRecord, launch_of
from dualpt.sweeps.ledger.reading import SweepReader
from dualpt.sweeps.records import CellRow, SweepRow, TrialRow, latest

State = Literal["selected", "judged", "in training", "given up", "stopped", "failed", "unfinished", "set aside"]


@dataclass(frozen=True)
class Candidate:
    """One setting that a search has tried. Test accuracy takes no part in a search and isn't here."""

    name: str
    rank: int | None
    """1 is the best, among those judged on everything; None for the others."""
    value: float | None
    """Mean validation accuracy over its finished cells, in percent."""
    standard_error: float | None
    """Of that mean, in points; None for fewer than two cells. Datasets differ, and that is in it."""
    finished: int
    cells: int
    """The most that any candidate was judged on."""
    state: State
    values: Mapping[str, str]
    """Searched key -> value; a key is absent where it doesn't matter beside the other values."""

    note: str = ""
    """What users have noted of it."""

    def words(self) -> str:
        """Its values as overrides are typed."""
        return " ".join(recorded_override(key, value) for key, value in self.values.items())


def read_candidates(
    reader: SweepReader,
    experiment: str,
    rows: Sequence[CellRow],
    sweep: SweepRow | None,
    running: Collection[str] = (),
) -> list[Candidate]:
    """The candidates of a sweep's search, the best first; none where nothing was searched.

    Args:
        experiment: the sweep's.
        rows: its shown cells; their parameters aren't used.
        sweep: its run.
        running: names of trials in training.
    """
    if all(row.kind != "search" for row in rows):
        return []
    settings = candidate_settings(reader, rows)
    launch = launch_of(sweep)
    keys = searched_keys(launch, settings)
    best = None if sweep is None else sweep.best
    rows = judged_last(launch, rows)
    return candidates_of(rows, settings, keys, reader.trials(experiment), best=best, running=running)


def read_set_aside(reader: SweepReader, experiment: str, sweep: SweepRow | None = None) -> list[Candidate]:
    """Candidates whose name another setting has taken over: of a search over another space, or on other files.

    They are ranked nowhere, since nothing says that they were judged on the same cells. Keys that are searched now are
    shown of them too, so that both can be compared.
    """
    aside = {t.ref.run_id: t for t in reader.trials(experiment) if t.superseded and t.ref.kind == "search"}
    if not aside:
        return []
    cells = [row for row in reader.cells(experiment, ()) if row.trial_run_id in aside]
    rows = [replace(row, trial=aside[row.trial_run_id].shown_name) for row in latest(cells)]
    settings = candidate_settings(reader, rows)
    keys = searched_keys(launch_of(sweep), settings)
    found = candidates_of(rows, settings, keys, (), best=None, running=())
    return sorted((replace(one, rank=None, state="set aside") for one in found), key=lambda one: one.name)


def candidate_settings(reader: SweepReader, rows: Sequence[CellRow]) -> dict[str, Mapping[str, str]]:
    """Candidate -> the parameters of one of its cells."""
    first: dict[str, str] = {}
    for row in rows:
        if row.kind == "search":
            first.setdefault(row.trial, row.run_id)
    params = reader.params_of(list(first.values()))
    return {trial: params[run_id] for trial, run_id in first.items()}


def judged_last(launch: LaunchRecord | None, rows: Sequence[CellRow]) -> list[CellRow]:
    """Rows on which the last launch judged candidates; all where that isn't known, or nothing would be left."""
    if launch is None or not (search := launch.resolved.get("search")):
        return list(rows)
    grid, root = launch.resolved["grid"], launch.resolved["setting"]["data"]["root"]
    axes = {axis: search.get(axis) or grid[axis] for axis in ("datasets", "shots", "seeds")}
    try:
        datasets = expand_datasets(axes["datasets"], None if root is None else Path(root))
    except UserError:  # the user's own ones, whose folder is elsewhere now
        return list(rows)
    any_shots = records.SHOTS_PARAM in launch.space
    found = [
        row
        for row in rows
        if row.dataset in datasets and row.seed in axes["seeds"] and (any_shots or row.shots in axes["shots"])
    ]
    return found or list(rows)


def is_judged(row: CellRow) -> bool:
    """Whether it has a validation accuracy that a mean can include."""
    return math.isfinite(row.metrics.get(VAL_ACCURACY, math.nan))


def standard_error(values: Sequence[float]) -> float | None:
    """Of a mean over cells; None for fewer than two."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def searched_keys(launch: LaunchRecord | None, settings: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Every searched key: those of the last launch's space, and those in which candidates of earlier ones differ.

    Where the space is known, a key that matters beside some values alone (`alignment.ot_epsilon`) isn't one for coming
    and going with them.

    Args:
        launch: the last one; None where nothing is recorded of it.
        settings: candidate -> its recorded parameters.
    """
    known = (*records.recorded_keys(settings.values()), records.SHOTS_PARAM)
    if launch is None:
        return [key for key in known if len({one.get(key) for one in settings.values()}) > 1]
    return [key for key in known if key in launch.space or len({o[key] for o in settings.values() if key in o}) > 1]


def candidates_of(
    rows: Sequence[CellRow],
    settings: Mapping[str, Mapping[str, str]],
    keys: Sequence[str],
    trials: Sequence[TrialRow],
    *,
    best: str | None,
    running: Collection[str],
) -> list[Candidate]:
    """See `read_candidates`; `best` counts as selected too."""
    own: dict[str, list[CellRow]] = defaultdict(list)
    for row in rows:
        if row.kind == "search":
            own[row.trial].append(row)
    candidates = [trial for trial in trials if trial.ref.kind == "search" and not trial.superseded]
    pruned = {trial.ref.name for trial in candidates if trial.pruned}
    stopped = {trial.ref.name for trial in candidates if trial.stopped}
    noted = {trial.ref.name: trial.noted for trial in candidates}
    selected = {trial.ref.name for trial in candidates if trial.selected} | {best}
    most = max((sum(row.finished and is_judged(row) for row in cells) for cells in own.values()), default=0)
    found = []
    for name, cells in own.items():
        done = [row.metrics[VAL_ACCURACY] for row in cells if row.finished and is_judged(row)]
        found.append(
            Candidate(
                name=name,
                rank=None,
                value=statistics.fmean(done) if done else None,
                standard_error=standard_error(done),
                finished=len(done),
                cells=most,
                state=_state(name, cells, len(done) == most, selected, pruned, stopped, running),
                values={key: settings[name][key] for key in keys if key in settings.get(name, {})},
                note=noted.get(name, ""),
            )
        )
    return _ranked(found)


def _state(
    name: str,
    cells: Sequence[CellRow],
    complete: bool,
    selected: Collection[str | None],
    pruned: Collection[str],
    stopped: Collection[str],
    running: Collection[str],
) -> State:
    statuses = Counter(row.status for row in cells)
    if name in running:
        return "in training"
    if name in stopped:
        return "stopped"
    if name in pruned:
        return "given up"
    if statuses["FAILED"]:
        return "failed"
    if not complete:
        return "unfinished"
    return "selected" if name in selected else "judged"


def _ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those judged on everything with their ranks, a selected one before its equals; then the others."""

    def order(one: Candidate) -> tuple[float, bool, str]:
        return (-(one.value or 0.0), one.state != "selected", one.name)

    whole = sorted((one for one in candidates if one.state in ("selected", "judged")), key=order)
    others = [one for one in candidates if one.state not in ("selected", "judged")]
    others.sort(key=lambda one: (-one.finished, -(one.value or 0.0), one.name))
    return [*(replace(one, rank=place) for place, one in enumerate(whole, start=1)), *others]
