"""From recorded cells to the table: methods as rows, the eleven datasets and their average as columns.

A table never hides what it stands on: every entry carries its spread over seeds and its n, and a method that lacks a
dataset has no average.

The input is a frame with one row a cell: `trial`, `kind`, `dataset`, `protocol`, `shots`, `seed`, `status` and one
column a metric (accuracies in percent).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from core.data.catalog import dataset_info
from core.errors import UserError
from core.methods import METHODS, SHORT_TITLES, TITLES
from core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean

BEST = "best"
"""Kind (and name) of the trial that runs the selected setting over the whole grid."""
AVERAGE = "average"


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
        counts = sorted({entry.n for entry in self.entries.values() if entry is not None})
        seeds = " or ".join(map(str, counts)) or "no"
        notes = [f"accuracy in percent; mean ± standard deviation over seeds, n = {seeds}"]
        if 1 in counts:
            notes.append("n = 1: methods that draw no sample have no spread over seeds")
        notes += [f"{method_title(m)}: {count} cells missing" for m, count in self.missing.items() if count]
        return notes


def method_title(name: str) -> str:
    """The name a table shows."""
    return "best of the sweep" if name == BEST else TITLES.get(name, name)


def short_title(name: str) -> str:
    """The name at the head of a narrow column."""
    return "best of sweep" if name == BEST else SHORT_TITLES.get(name, name)


def comparable_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of baselines and of the selected setting: candidates are judged on part of the grid only."""
    return cells[cells["kind"] != "search"]


def comparison(
    cells: pd.DataFrame, *, datasets: Sequence[str], shots: int, seeds: Sequence[int], metric: str = TEST_ACCURACY
) -> ComparisonTable:
    """Build the table of one metric at one number of shots.

    Zero-shot methods draw no sample: their single result stands at every number of shots.

    Raises:
        UserError: no finished cell has the metric at these shots.
    """
    finished = cells[(cells["status"] == "FINISHED") & cells["shots"].isin([0, shots])]
    if metric not in finished or finished[metric].notna().sum() == 0:
        available = sorted(set(cells.loc[cells["status"] == "FINISHED", "shots"]) - {0})
        raise UserError(f"no finished cell has {metric} at {shots} shots (finished shots: {available or 'none'})")
    methods = _ordered_methods(cells)
    entries: dict[tuple[str, str], Entry | None] = {}
    missing: dict[str, int] = {}
    for method in methods:
        own = finished[finished["trial"] == method].dropna(subset=[metric])
        expected = [0] if method.startswith("zero-shot") else list(seeds)
        table = own.pivot_table(index="seed", columns="dataset", values=metric, aggfunc="last")
        table = table.reindex(index=expected, columns=list(datasets))
        missing[method] = int(table.isna().sum().sum())
        for dataset in datasets:
            entries[method, dataset] = _entry(table[dataset].dropna())
        complete = table.dropna()
        whole = len(complete) == len(expected)
        entries[method, AVERAGE] = _entry(complete.mean(axis=1)) if whole else None
    title = f"{metric} at {shots} shots"
    return ComparisonTable(title, methods, (*datasets, AVERAGE), entries, missing)


def base_to_new_rows(cells: pd.DataFrame, *, datasets: Sequence[str], shots: int) -> pd.DataFrame:
    """Base, new and H per method.

    `H` is the harmonic mean of the averaged accuracies, as the field reports it; `mean of H` averages the datasets'
    harmonic means. Methods that lack a dataset are left out.
    """
    finished = cells[(cells["status"] == "FINISHED") & cells["shots"].isin([0, shots])]
    rows = []
    for method in _ordered_methods(cells):
        own = finished[finished["trial"] == method]
        means = own.groupby("dataset")[[BASE_ACCURACY, NEW_ACCURACY, HARMONIC_MEAN]].mean().reindex(list(datasets))
        if means.isna().any(axis=None):
            continue
        base, new, mean_of_h = means.mean()
        rows.append((method_title(method), base, new, harmonic_mean(base, new), mean_of_h))
    return pd.DataFrame(rows, columns=["method", "base", "new", "H", "mean of H"])


def _entry(values: "pd.Series[float]") -> Entry | None:
    if values.empty:
        return None
    spread = float(values.std(ddof=1)) if len(values) > 1 else None
    return Entry(float(values.mean()), spread, len(values))


def _ordered_methods(cells: pd.DataFrame) -> tuple[str, ...]:
    """Published order first, then named settings in the order recorded, the selected setting last."""
    recorded = list(dict.fromkeys(cells["trial"]))
    known = [name for name in METHODS if name in recorded]
    other = [name for name in recorded if name not in METHODS and name != BEST]
    return (*known, *other, *([BEST] if BEST in recorded else []))


def column_title(column: str) -> str:
    return "Average" if column == AVERAGE else dataset_info(column).title


def to_frame(table: ComparisonTable) -> pd.DataFrame:
    """The long form: one row an entry, for CSV and JSON."""
    rows = [
        {
            "method": method_title(method),
            "dataset": column,
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
