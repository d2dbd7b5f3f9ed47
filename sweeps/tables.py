"""From recorded cells to the table: methods as rows, the eleven datasets and their average as columns.

A table never hides what it stands on: every entry carries its spread over seeds and its n, and a method that lacks a
dataset has no average.

The input is a frame with one row a cell: `trial`, `kind`, `dataset`, `protocol`, `shots`, `seed`, `status` and one
column a metric (accuracies in percent).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from core.data.catalog import dataset_title
from core.errors import UserError
from core.methods import METHODS, SHORT_TITLES, TITLES
from core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean

BEST = "best"
"""Kind (and name) of the trial that runs the selected setting over the whole grid."""
_SELECTED = re.compile(rf"{BEST}(?:-(\d+)-shot)?")
"""Names of the trials of kind `best`: with searched shots, one for each number of shots."""
AVERAGE = "average"
HALVES = (BASE_ACCURACY, NEW_ACCURACY, HARMONIC_MEAN)
"""Metrics of base-to-new, in the field's order."""


@dataclass(frozen=True)
class Entry:
    """One accuracy of a table, in percent."""

    mean: float
    spread: float | None
    """Standard deviation over seeds (n - 1 in the denominator); None for a single seed."""
    n: int
    """Seeds behind the mean."""

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.spread is None else f"{self.mean:.1f} ± {self.spread:.1f}"


@dataclass(frozen=True)
class ComparisonTable:
    """Entries by (method, column); None where cells are missing."""

    title: str
    metric: str
    methods: tuple[str, ...]
    columns: tuple[str, ...]
    entries: dict[tuple[str, str], Entry | None]
    missing: dict[str, int]
    """Method -> cells that have no finished result."""

    def best(self, column: str) -> str | None:
        """The method with the highest mean of a column."""
        present = {m: e.mean for m in self.methods if (e := self.entries[m, column]) is not None}
        return max(present, key=lambda method: present[method]) if present else None

    def notes(self) -> list[str]:
        """What a reader must know: seeds, spread, what is missing."""
        present = [(method, entry.n) for (method, _), entry in self.entries.items() if entry is not None]
        counts = " or ".join(map(str, sorted({n for _, n in present}))) or "no"
        notes = [f"accuracy in percent; mean ± standard deviation over seeds, n = {counts}"]
        if self.metric == HARMONIC_MEAN:
            notes.append("Average: per seed, H of the averaged base and new accuracies, as the field reports it")
        if any(n == 1 and draws_no_sample(method) for method, n in present):
            notes.append("n = 1: methods that draw no sample have no spread over seeds")
        if any(n == 1 and not draws_no_sample(method) for method, n in present):
            notes.append("n = 1: a single seed, no spread")
        notes += [f"{method_title(m)}: {count} cells missing" for m, count in self.missing.items() if count]
        return notes


def method_title(name: str) -> str:
    """The name a table shows."""
    return _selected_title(name, "best of the sweep") or TITLES.get(name, name)


def short_title(name: str) -> str:
    """The name at the head of a narrow column."""
    return _selected_title(name, "best of sweep") or SHORT_TITLES.get(name, name)


def _selected_title(name: str, title: str) -> str | None:
    """The title of a selected setting, with its number of shots where that was searched; None for other methods."""
    selected = _SELECTED.fullmatch(name)
    if selected is None:
        return None
    shots = selected[1]
    return title if shots is None else f"{title} ({shots} shot{'s' * (shots != '1')})"


def draws_no_sample(method: str) -> bool:
    """Whether a method is zero-shot: one result, at seed 0, which stands at every number of shots."""
    return method.startswith("zero-shot")


def comparable_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of baselines and of the selected setting: candidates are judged on part of the grid only."""
    return cells if cells.empty else cells[cells["kind"] != "search"]


def finished_shots(cells: pd.DataFrame, metric: str) -> list[int]:
    """Numbers of shots, above 0, at which some finished cell has the metric."""
    if metric not in cells:
        return []
    done = cells[(cells["status"] == "FINISHED") & cells[metric].notna()]
    return sorted(set(map(int, done["shots"])) - {0})


def comparison(
    cells: pd.DataFrame, *, datasets: Sequence[str], shots: int, seeds: Sequence[int], metric: str = TEST_ACCURACY
) -> ComparisonTable:
    """Build the table of one metric at one number of shots.

    Zero-shot methods draw no sample: their single result stands at every number of shots. The average of the harmonic
    mean is, per seed, the harmonic mean of the averaged base and new accuracies, as the field reports it.

    Raises:
        UserError: no finished cell has the metric, or none at these shots.
    """
    finished = _finished_at(cells, shots)
    if shots and shots not in (available := finished_shots(cells, metric)):
        raise UserError(f"no finished cell has {metric} at {shots} shots (finished shots: {available or 'none'})")
    if metric not in finished or finished[metric].notna().sum() == 0:
        raise UserError(f"no finished cell has {metric}")
    methods = _ordered_methods(cells)
    entries: dict[tuple[str, str], Entry | None] = {}
    missing: dict[str, int] = {}
    for method in methods:
        own = finished[finished["trial"] == method]
        expected = [0] if draws_no_sample(method) else list(seeds)
        table = _by_seed(own, metric, datasets, expected)
        missing[method] = int(table.isna().sum().sum())
        for dataset in datasets:
            entries[method, dataset] = _entry(table[dataset].dropna())
        averages = _averages(own, metric, datasets, expected)
        entries[method, AVERAGE] = _entry(averages) if averages.notna().all() else None
    title = f"{metric} at {shots} {'shot' if shots == 1 else 'shots'}"
    return ComparisonTable(title, metric, methods, (*datasets, AVERAGE), entries, missing)


def base_to_new_rows(cells: pd.DataFrame, *, datasets: Sequence[str], shots: int, seeds: Sequence[int]) -> pd.DataFrame:
    """Base, new and H per method, averaged over datasets; `n` is the seeds behind them.

    `H` is, per seed, the harmonic mean of the averaged accuracies; mean and standard deviation over seeds. Methods that
    lack a cell (every dataset at every seed; at seed 0 for zero-shot methods) are left out.

    Raises:
        UserError: no finished cell has one of the metrics at these shots.
    """
    tables = [comparison(cells, datasets=datasets, shots=shots, seeds=seeds, metric=metric) for metric in HALVES]
    rows = []
    for method in tables[0].methods:
        base, new, harmonic = (table.entries[method, AVERAGE] for table in tables)
        if base is not None and new is not None and harmonic is not None:
            spread = float("nan") if harmonic.spread is None else harmonic.spread
            rows.append((method_title(method), base.mean, new.mean, harmonic.mean, spread, harmonic.n))
    return pd.DataFrame(rows, columns=["method", "base", "new", "H", "sd of H", "n"])


def base_to_new_texts(halves: pd.DataFrame) -> list[list[str]]:
    """The rows of `base_to_new_rows` as they are shown."""
    accuracies = halves[["base", "new", "H", "sd of H"]].map(lambda value: "–" if pd.isna(value) else f"{value:.1f}")
    return [
        [method, *shown, str(n)]
        for method, shown, n in zip(halves["method"], accuracies.to_numpy().tolist(), halves["n"], strict=True)
    ]


def _finished_at(cells: pd.DataFrame, shots: int) -> pd.DataFrame:
    """Finished cells at a number of shots, and those of methods that draw no sample."""
    return cells[(cells["status"] == "FINISHED") & cells["shots"].isin([0, shots])]


def _by_seed(own: pd.DataFrame, metric: str, datasets: Sequence[str], expected: Sequence[int]) -> pd.DataFrame:
    """A method's cells, seeds as rows and datasets as columns; NaN where one is missing."""
    table = own.dropna(subset=[metric]).pivot_table(index="seed", columns="dataset", values=metric, aggfunc="last")
    return table.reindex(index=list(expected), columns=list(datasets))


def _averages(own: pd.DataFrame, metric: str, datasets: Sequence[str], expected: Sequence[int]) -> "pd.Series[float]":
    """The average over datasets of each seed; NaN where a dataset is missing."""
    if metric == HARMONIC_MEAN:
        base, new = (_averages(own, half, datasets, expected) for half in (BASE_ACCURACY, NEW_ACCURACY))
        return pd.Series({seed: harmonic_mean(base[seed], new[seed]) for seed in expected})
    return _by_seed(own, metric, datasets, expected).mean(axis=1, skipna=False)


def _entry(values: "pd.Series[float]") -> Entry | None:
    if values.empty:
        return None
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    return Entry(float(values.mean()), spread, len(values))


def _ordered_methods(cells: pd.DataFrame) -> tuple[str, ...]:
    """Published order first, then named settings in the order recorded, the selected ones last, by their shots."""
    recorded = list(dict.fromkeys(cells["trial"]))
    known = [name for name in METHODS if name in recorded]
    selected = {name: int(match[1] or 0) for name in recorded if (match := _SELECTED.fullmatch(name))}
    other = [name for name in recorded if name not in METHODS and name not in selected]
    return (*known, *other, *sorted(selected, key=lambda name: selected[name]))


def column_title(column: str) -> str:
    return "Average" if column == AVERAGE else dataset_title(column)


def to_frame(table: ComparisonTable) -> pd.DataFrame:
    """The long form: one row an entry, for CSV and JSON."""
    rows = [
        {
            "method": method_title(method),
            "dataset": column,
            "metric": table.metric,
            "mean": None if entry is None else entry.mean,
            "spread": None if entry is None else entry.spread,
            "n": 0 if entry is None else entry.n,
        }
        for (method, column), entry in table.entries.items()
    ]
    return pd.DataFrame(rows)


def to_markdown(table: ComparisonTable) -> str:
    """A Markdown table; the best mean of each column in bold."""
    head = ["method", *map(column_title, table.columns)]
    lines = [f"**{table.title}**", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for method in table.methods:
        shown = [_marked(table, method, column, "**{}**") for column in table.columns]
        lines.append("| " + " | ".join([method_title(method), *shown]) + " |")
    return "\n".join([*lines, "", *(f"*{note}*" + "  " for note in table.notes())])


def _marked(table: ComparisonTable, method: str, column: str, mark: str) -> str:
    entry = table.entries[method, column]
    if entry is None:
        return "–"
    return mark.format(entry) if table.best(column) == method else str(entry)
