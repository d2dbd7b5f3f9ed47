"""The oracle gap: what the same search would have reported had it selected its candidate on the test set.

Nobody can select that candidate without the test set; the gap between it and the candidate selected on validation
accuracy is what selection on test adds to a number. For tables and reports of finished sweeps: import rules keep this
module from everything that searches or launches.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.core.results import VAL_ACCURACY, measure_of
from dualpt.sweeps.comparison.frames import LAUNCH_STATUS, grid_of
from dualpt.sweeps.comparison.labels import is_selected, method_title, of_sweep
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.searched.candidate_cells import Search
from dualpt.sweeps.comparison.searched.correction import Selected
from dualpt.sweeps.comparison.selection import select
from dualpt.sweeps.comparison.tables.table import Entry
from dualpt.sweeps.comparison.values import Array, Grid, seed_averages

MEANING = (
    "the oracle is the candidate that does best on test, which nobody can select without the test set: the gap is what "
    "selection on test adds to a number without a better method"
)
HEAD = ("search", "shots", "selected", "candidates", "honest", "oracle", "gap")
ONE, PER_DATASET = "one setting", "per dataset"
"""One candidate is selected for all datasets, as sweeps do, or one for each dataset, as much of the field does."""
UNFINISHED = {"RUNNING": "running", "KILLED": "killed", "MISSING": "never begun"}

Score = Callable[[pd.DataFrame], float]


@dataclass(frozen=True)
class OracleGap:
    """What one search reports at one number of shots, by each of the two selections."""

    method: str
    shots: int
    scope: str
    candidates: int
    honest: Entry
    oracle: Entry
    gap: Entry
    """Oracle minus honest, paired by seed; over all shots never against the oracle."""

    def record(self) -> dict[str, object]:
        """Unrounded, for programs."""
        entries = {"honest": self.honest, "oracle": self.oracle, "gap": self.gap}
        own = {f"{name}.{part}": getattr(entry, part) for name, entry in entries.items() for part in ("mean", "spread")}
        named = {"search": method_title(self.method), "shots": self.shots, "selected": self.scope}
        return named | {"candidates": self.candidates, "n": self.honest.n} | own


def oracle_table(frames: Mapping[str, pd.DataFrame], *, metric: str, protocol: str | None = None) -> PlainTable:
    """The gaps of all sweeps, per selected setting and number of shots.

    Args:
        frames: sweep name -> all its cells.
        metric: on test images; it is what the oracle selects on.

    Raises:
        UserError: a sweep that is unfinished, searched nothing, or whose candidates lack the metric.
    """
    if metric == VAL_ACCURACY:
        raise UserError(f"--oracle: {VAL_ACCURACY} is what the search selected on; choose a metric of test images")
    gaps = [gap for name, frame in frames.items() for gap in _gaps(name, frame, metric, protocol, len(frames) > 1)]
    digits = measure_of(metric).digits
    rows = [
        (
            method_title(gap.method),
            str(gap.shots),
            gap.scope,
            str(gap.candidates),
            gap.honest.text(digits=digits),
            gap.oracle.text(digits=digits),
            gap.gap.text(digits=digits, signed=True),
        )
        for gap in gaps
    ]
    return PlainTable(f"oracle gap: {metric}", HEAD, tuple(rows), tuple(gap.record() for gap in gaps), _words(gaps))


def _words(gaps: Sequence[OracleGap]) -> list[str]:
    ns = " or ".join(map(str, sorted({gap.honest.n for gap in gaps})))
    seeds = f"mean ± standard deviation over seeds, n = {ns}"
    words = [
        "honest: selected on mean validation accuracy; oracle: selected on test",
        MEANING,
        f"both over the datasets and seeds that candidates were judged on; {seeds}",
    ]
    shots: dict[str, set[int]] = {}
    for gap in gaps:
        shots.setdefault(gap.method, set()).add(gap.shots)
    if any(len(own) > 1 for own in shots.values()):
        words.append(
            "a setting is selected over all shots together: at one number of shots a gap may be of either sign"
        )
    return words


def _gaps(name: str, frame: pd.DataFrame, metric: str, protocol: str | None, several: bool) -> list[OracleGap]:
    selection = select({name: frame}, protocol=protocol)
    _check_finished(name, frame)
    methods = [str(method) for method in dict.fromkeys(selection.cells["trial"]) if is_selected(str(method))]
    found = [Selected.of(method, selection.cells, selection.searches) for method in methods]
    searched = [one for one in found if one is not None]
    if not searched:
        raise UserError(f"--oracle: sweep '{name}' searched nothing: there is no candidate besides those compared")
    return [gap for one in searched for gap in _gaps_of(one, metric, name if several else None)]


def _check_finished(name: str, frame: pd.DataFrame) -> None:
    """Refuse a sweep whose selection may still change. A race's own kills of candidates are part of a finished one."""
    status = frame.attrs.get(LAUNCH_STATUS, "FINISHED")
    if status not in UNFINISHED:
        shown = frame[frame["kind"] != "search"]
        status = next((str(one) for one in shown["status"] if one in UNFINISHED), status)
    if status in UNFINISHED:
        raise UserError(
            f"--oracle: sweep '{name}' is unfinished ({UNFINISHED[status]}), and what it selects may change; "
            "finish it first (`dualpt status`)"
        )


def _gaps_of(selected: Selected, metric: str, sweep: str | None) -> Iterable[OracleGap]:
    """One search's gaps, by shots and by both scopes."""
    search = selected.search
    pool = _pool(search, metric, sweep)
    honest = _selected_candidate(selected)
    method = selected.method if sweep is None else of_sweep(selected.method, sweep)
    sign = -1.0 if measure_of(metric).lower_is_better else 1.0

    def on_validation(cells: pd.DataFrame) -> float:
        return float(cells[VAL_ACCURACY].mean())

    def on_test(cells: pd.DataFrame) -> float:
        return sign * _over_shots(cells, metric)

    sides = {
        ONE: (pool[pool["trial"] == honest], _best(pool, on_test)),
        PER_DATASET: (_best_by_dataset(pool, on_validation), _best_by_dataset(pool, on_test)),
    }
    for scope, (own, best) in sides.items():
        for shots in grid_of(pool)[1]:
            ours, theirs = _by_seed(own, shots, metric), _by_seed(best, shots, metric)
            entries = (Entry.over_seeds(values) for values in (ours, theirs, theirs - ours))
            yield OracleGap(method, shots, scope, pool["trial"].nunique(), *entries)


def _pool(search: Search, metric: str, sweep: str | None) -> pd.DataFrame:
    """Cells of the candidates that were judged on everything.

    Raises:
        UserError: some lack the metric.
    """
    judged = search.judged
    pool = judged[judged["trial"].isin(search.complete)]
    if metric not in pool or pool[metric].isna().any():
        named = f" of sweep '{sweep}'" if sweep else ""
        raise UserError(f"--oracle: candidates{named} have no {metric}; `dualpt evaluate` adds what a version lacked")
    return pool


def _selected_candidate(selected: Selected) -> str:
    """The candidate whose setting the sweep selected: its cells are among the selected setting's own.

    Raises:
        UserError: it is not on record among those judged on everything.
    """
    judged, own = selected.search.judged, set(selected.own["key"])
    for candidate in selected.search.complete:
        if set(judged.loc[judged["trial"] == candidate, "key"]) <= own:
            return candidate
    raise UserError(
        f"--oracle: no candidate on record is what {method_title(selected.method)} runs; launch the sweep again"
    )


def _best(pool: pd.DataFrame, score: Score) -> pd.DataFrame:
    """The cells of the candidate with the highest score; of equal ones the first on record."""
    candidates = [cells for _, cells in pool.groupby("trial", sort=False)]
    return max(candidates, key=lambda cells: round(score(cells), 9))


def _best_by_dataset(pool: pd.DataFrame, score: Score) -> pd.DataFrame:
    """The cells of each dataset's own best candidate, as those of one method."""
    chosen = [_best(cells, score) for _, cells in pool.groupby("dataset", sort=False)]
    return pd.concat(chosen).assign(trial=PER_DATASET)


def _over_shots(cells: pd.DataFrame, metric: str) -> float:
    means = [float(_by_seed(cells, shots, metric).mean()) for shots in grid_of(cells)[1]]
    return math.fsum(means) / len(means)


def _by_seed(cells: pd.DataFrame, shots: int, metric: str) -> Array:
    """(S,) averages over the datasets of one method's cells, as tables form them."""
    datasets, _, seeds = grid_of(cells)
    (values,) = seed_averages(cells, Grid(tuple(datasets), tuple(seeds)), shots=shots, metric=metric).values()
    return values
