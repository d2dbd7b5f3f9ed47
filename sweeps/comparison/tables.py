"""From recorded cells to tables: methods as rows; datasets and their average, numbers of shots, or halves as columns.

A table never hides what it stands on: every entry carries its spread over seeds and its n, and a method that lacks a
dataset has no average. Input is a frame of cells (see `frames`); output is one kind of object, whatever the columns.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from dualpt.core.errors import UserError
from dualpt.core.results import (
    BASE_ACCURACY,
    HARMONIC_MEAN,
    NEW_ACCURACY,
    TARGET_MEAN,
    TEST_ACCURACY,
    Measure,
    measure_of,
)
from dualpt.sweeps.comparison.frames import finished_shots, untrained_methods
from dualpt.sweeps.comparison.labels import AVERAGE, GROUPS, column_title, group_of, method_title, ordered_methods
from dualpt.sweeps.comparison.values import (
    Array,
    Grid,
    check_finished,
    method_values,
    one_draw_for_all_seeds,
    seed_averages,
)

HALVES = (BASE_ACCURACY, NEW_ACCURACY, HARMONIC_MEAN)
"""Metrics of base-to-new, in the field's order."""
MEAN_OF_H = "mean of H"
"""The average of the datasets' harmonic means, which some report in place of H of the averages."""


MANY_METHODS = 10
"""From this number on, tables show methods by groups."""


@dataclass(frozen=True)
class Entry:
    """One value of a table, or a difference of two."""

    mean: float
    spread: float | None
    """Standard deviation over seeds (n - 1 in the denominator); None for a single seed."""
    n: int
    """Seeds behind the mean; 0 where a published number does not say."""

    @classmethod
    def over_seeds(cls, values: Array) -> "Entry":
        """Of values by seed (S,), all known, at least one."""
        return cls(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, len(values))

    def text(self, *, digits: int = 1, signed: bool = False) -> str:
        """`61.3 ± 0.4`; a difference with its sign."""
        mean = f"{self.mean:+.{digits}f}" if signed else f"{self.mean:.{digits}f}"
        return mean if self.spread is None else f"{mean} ± {self.spread:.{digits}f}"

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True)
class ComparisonTable:
    """Entries by (method, column); None where cells are missing."""

    title: str
    metric: str
    methods: tuple[str, ...]
    columns: tuple[str, ...]
    entries: Mapping[tuple[str, str], Entry | None]
    missing: Mapping[str, int]
    """Method -> cells that have no finished result."""
    untrained: frozenset[str]
    """Methods that draw no sample: their single result stands at every number of shots."""
    heads: Mapping[str, str] = field(default_factory=dict)
    """Column -> its title, where it is not a dataset."""
    baseline: str | None = None
    """The method that entries are differences to; None where they are values."""
    published: frozenset[str] = frozenset()
    """Rows from papers."""
    imported: frozenset[str] = frozenset()
    """Rows from the files of other tools."""
    remarks: tuple[str, ...] = ()
    """What a reader must know besides n, spread and missing cells."""
    shots: int | None = None
    """Training images per class; None where columns are numbers of shots."""
    seeds: tuple[int, ...] = ()
    """The grid's."""
    one_draw: frozenset[tuple[str, str]] = frozenset()
    """(method, column) for which all seeds trained on the same draw: n is 1, whatever their number."""

    @property
    def measure(self) -> Measure:
        """What the entries are, and which way is better."""
        return measure_of(self.metric)

    @property
    def sections(self) -> list[tuple[str, tuple[str, ...]]]:
        """The methods by groups, each with its title; all in one without a title where they are few."""
        titles = {m: self._group(m) for m in self.methods}
        if len(self.methods) < MANY_METHODS or len(set(titles.values())) < 2:
            return [("", self.methods)]
        return [(title, tuple(of_group)) for title, of_group in itertools.groupby(self.methods, key=titles.__getitem__)]

    def _group(self, method: str) -> str:
        """What its group is called."""
        if method in self.imported:
            return "imported"
        return "published by others" if method in self.published else GROUPS[group_of(method)]

    def head(self, column: str) -> str:
        """The title of a column."""
        return self.heads.get(column) or column_title(column)

    def text(self, method: str, column: str) -> str:
        """An entry as it is shown; a dash where cells are missing."""
        entry = self.entries[method, column]
        return "–" if entry is None else entry.text(digits=self.measure.digits, signed=self.baseline is not None)

    def means(self, column: str) -> dict[str, float | None]:
        """Method -> its mean in a column; None where cells are missing."""
        return {m: None if (entry := self.entries[m, column]) is None else entry.mean for m in self.methods}

    def place(self, method: str, column: str) -> int | None:
        """1 for the best mean of a column, 2 for the second best, else None; means that are shown alike share a place.

        Differences have no places: they would only repeat those of the values.
        """
        entry = self.entries[method, column]
        if entry is None or self.baseline is not None:
            return None
        digits = self.measure.digits
        shown = {round(other.mean, digits) for m in self.methods if (other := self.entries[m, column]) is not None}
        leading = sorted(shown, reverse=not self.measure.lower_is_better)[:2]
        mean = round(entry.mean, digits)
        return leading.index(mean) + 1 if len(shown) > 1 and mean in leading else None

    def notes(self) -> list[str]:
        """What a reader must know: seeds, spread, what is missing."""
        foreign = self.published | self.imported
        own = [(m, entry.n) for (m, _), entry in self.entries.items() if entry is not None and m not in foreign]
        counts = " or ".join(map(str, sorted({n for _, n in own}))) or "no"
        measure = self.measure
        unit = f"{measure.title} in {measure.unit}"
        if self.baseline is not None:
            unit = f"difference in {measure.difference_unit}, paired by dataset and seed"
        if measure.lower_is_better:
            unit += "; lower is better"
        notes = [f"{unit}; mean ± standard deviation over seeds, n = {counts}"]
        if self.baseline is None:
            notes.append("best method bold, second best underlined")
        if self.metric == HARMONIC_MEAN and AVERAGE in self.columns:
            notes.append("Average: per seed, H of the averaged base and new accuracies, as the field reports it")
        if any(n == 1 and method in self.untrained for method, n in own):
            notes.append("n = 1: methods that draw no sample have no spread over seeds")
        if self.one_draw:
            shared = ", ".join(dict.fromkeys(self.head(column) for _, column in self.one_draw))
            notes.append(f"n = 1: one draw serves all seeds, so nothing is known of its spread ({shared})")
        single = {key for key, entry in self.entries.items() if entry is not None and entry.n == 1} - self.one_draw
        if any(method not in self.untrained and method not in foreign for method, _ in single):
            notes.append("n = 1: a single seed, no spread")
        notes += self.remarks
        counted = [(m, count) for m, count in self.missing.items() if count]
        return notes + [f"{method_title(m)}: {count} cell{'s' * (count > 1)} missing" for m, count in counted]


def comparison(cells: pd.DataFrame, grid: Grid, *, shots: int, metric: str = TEST_ACCURACY) -> ComparisonTable:
    """Build the table of one metric at one number of shots.

    Zero-shot methods draw no sample: their single result stands at every number of shots. The average of the harmonic
    mean is, per seed, the harmonic mean of the averaged base and new accuracies, as the field reports it.

    Raises:
        UserError: no finished cell has the metric, or none at these shots.
    """
    check_finished(cells, shots, metric)
    values = method_values(cells, grid, shots=shots, metric=metric)
    averages = seed_averages(cells, grid, shots=shots, metric=metric)
    entries: dict[tuple[str, str], Entry | None] = {}
    for method, own in values.items():
        entries |= {(method, dataset): _entry(column) for dataset, column in zip(grid.datasets, own.T, strict=True)}
        entries[method, AVERAGE] = _whole_entry(averages[method])
    one_draw = _with_averages(one_draw_for_all_seeds(cells, shots=shots), tuple(values), grid)
    missing = {method: int(np.isnan(own).sum()) for method, own in values.items()}
    title = f"{metric} at {shots_text(shots)}"
    columns = (*grid.datasets, AVERAGE)
    untrained = untrained_methods(cells)
    return ComparisonTable(
        title,
        metric,
        tuple(values),
        columns,
        _without_spread(entries, one_draw),
        missing,
        untrained,
        shots=shots,
        one_draw=one_draw,
        seeds=grid.seeds,
    )


def _with_averages(
    one_draw: frozenset[tuple[str, str]], methods: tuple[str, ...], grid: Grid
) -> frozenset[tuple[str, str]]:
    """With the average of each method that has one draw on every dataset."""
    own = {method for method in methods if all((method, dataset) in one_draw for dataset in grid.datasets)}
    shown = {(method, dataset) for method, dataset in one_draw if dataset in grid.datasets}
    return frozenset(shown | {(method, AVERAGE) for method in own})


def _without_spread(
    entries: Mapping[tuple[str, str], Entry | None], one_draw: frozenset[tuple[str, str]]
) -> dict[tuple[str, str], Entry | None]:
    """What rests on one draw has its mean alone."""
    return {
        key: Entry(entry.mean, None, 1) if entry is not None and key in one_draw else entry
        for key, entry in entries.items()
    }


def differences(
    cells: pd.DataFrame, grid: Grid, baseline: str, *, shots: int, metric: str = TEST_ACCURACY
) -> ComparisonTable:
    """The table of `comparison` as differences to a method, paired by dataset and seed.

    A method that draws no sample is paired with every seed of the other.

    Raises:
        UserError: as `comparison`.
    """
    table = comparison(cells, grid, shots=shots, metric=metric)
    values = method_values(cells, grid, shots=shots, metric=metric)
    averages = seed_averages(cells, grid, shots=shots, metric=metric)
    entries: dict[tuple[str, str], Entry | None] = {}
    methods = tuple(method for method in table.methods if method != baseline)
    for method in methods:
        columns = (values[method] - values[baseline]).T
        entries |= {(method, dataset): _entry(column) for dataset, column in zip(grid.datasets, columns, strict=True)}
        entries[method, AVERAGE] = _whole_entry(averages[method] - averages[baseline])
    title = f"{table.title}: difference to {method_title(baseline)}"
    missing = {method: table.missing[method] for method in (*methods, baseline)}
    one_draw = frozenset(
        (method, column)
        for method, column in table.one_draw
        if method != baseline and ((baseline, column) in table.one_draw or baseline in table.untrained)
    )
    return replace(
        table,
        title=title,
        methods=methods,
        entries=_without_spread(entries, one_draw),
        missing=missing,
        one_draw=one_draw,
        baseline=baseline,
    )


def by_shots(cells: pd.DataFrame, grid: Grid, *, metric: str = TEST_ACCURACY) -> ComparisonTable:
    """Averages over datasets, one column for each number of shots that has results.

    Raises:
        UserError: no trained method has a finished cell with the metric.
    """
    shots = finished_shots(cells, metric)
    if not shots:
        raise UserError(f"no trained method has a finished {metric}")
    tables = {k: comparison(cells, grid, shots=k, metric=metric) for k in shots}
    methods = tables[shots[0]].methods
    entries = {(m, str(k)): table.entries[m, AVERAGE] for k, table in tables.items() for m in methods}
    untrained = untrained_methods(cells)
    missing = {m: _distinct_missing(tables, m, m in untrained) for m in methods}
    heads = {str(k): shots_text(k) for k in shots}
    remark = f"averages over {len(grid.datasets)} datasets"
    title = f"{metric} by shots"
    columns, remarks = tuple(heads), (remark,)
    one_draw = frozenset((m, str(k)) for k, table in tables.items() for m in methods if (m, AVERAGE) in table.one_draw)
    return ComparisonTable(
        title,
        metric,
        methods,
        columns,
        entries,
        missing,
        untrained,
        heads,
        remarks=remarks,
        seeds=grid.seeds,
        one_draw=one_draw,
    )


def _distinct_missing(tables: Mapping[int, ComparisonTable], method: str, untrained: bool) -> int:
    """Missing cells over numbers of shots; the single cell of an untrained method stands in each of them."""
    counts = [table.missing[method] for table in tables.values()]
    return max(counts) if untrained else sum(counts)


def base_to_new(cells: pd.DataFrame, grid: Grid, *, shots: int) -> ComparisonTable:
    """Averages over datasets of base, new and H, and the average of the datasets' H, both labelled.

    Raises:
        UserError: no finished cell has one of the metrics at these shots.
    """
    tables = {metric: comparison(cells, grid, shots=shots, metric=metric) for metric in HALVES}
    methods = tables[HARMONIC_MEAN].methods
    entries = {
        (method, metric): table.entries[method, AVERAGE] for metric, table in tables.items() for method in methods
    }
    for method, values in method_values(cells, grid, shots=shots, metric=HARMONIC_MEAN).items():
        entries[method, MEAN_OF_H] = _whole_entry(values.mean(axis=1))
    missing = {method: max(table.missing[method] for table in tables.values()) for method in methods}
    heads = {BASE_ACCURACY: "base", NEW_ACCURACY: "new", HARMONIC_MEAN: "H", MEAN_OF_H: MEAN_OF_H}
    remarks = (
        f"averages over {len(grid.datasets)} datasets",
        "H: per seed, of the averaged base and new accuracies, as the field reports it; "
        "mean of H: the average of the datasets' own",
    )
    title = f"base-to-new at {shots_text(shots)}"
    columns, untrained = tuple(heads), untrained_methods(cells)
    whole = {method for method in methods if (method, AVERAGE) in tables[HARMONIC_MEAN].one_draw}
    one_draw = frozenset((method, column) for method in whole for column in columns)
    entries = _without_spread(entries, one_draw)
    return ComparisonTable(
        title,
        HARMONIC_MEAN,
        methods,
        columns,
        entries,
        missing,
        untrained,
        heads,
        remarks=remarks,
        shots=shots,
        seeds=grid.seeds,
        one_draw=one_draw,
    )


def cross_dataset(cells: pd.DataFrame, *, source: str, shots: int, seeds: tuple[int, ...]) -> ComparisonTable:
    """Trained on a source dataset: its own accuracy, that of every target, and the targets' average.

    Raises:
        UserError: no finished cell of the source at these shots.
    """
    own = cells[cells["dataset"] == source]
    check_finished(own, shots, TEST_ACCURACY)
    metrics = {TEST_ACCURACY: source} | {column: column.split("/")[1] for column in target_metrics(own)}
    methods = ordered_methods(own["trial"])
    entries, missing = {}, dict.fromkeys(methods, 0)
    for metric in (*metrics, TARGET_MEAN):
        for method, values in method_values(own, Grid((source,), seeds), shots=shots, metric=metric).items():
            entries[method, metric] = _whole_entry(values[:, 0]) if metric == TARGET_MEAN else _entry(values[:, 0])
            missing[method] = max(missing[method], int(np.isnan(values).sum()))
    heads = {metric: column_title(name) for metric, name in metrics.items()}
    heads = {**heads, TEST_ACCURACY: f"{heads[TEST_ACCURACY]} (source)", TARGET_MEAN: "Average of targets"}
    title = f"trained on {column_title(source)} at {shots_text(shots)}"
    untrained = untrained_methods(own)
    return ComparisonTable(
        title, TARGET_MEAN, methods, tuple(heads), entries, missing, untrained, heads, shots=shots, seeds=seeds
    )


def target_metrics(cells: pd.DataFrame) -> list[str]:
    """The columns `target/<dataset>/accuracy` that hold a number, without their mean."""
    named = [
        str(c) for c in cells if str(c).startswith("target/") and str(c).endswith("/accuracy") and c != TARGET_MEAN
    ]
    return [column for column in named if cells[column].notna().any()]


def joined(table: ComparisonTable, other: ComparisonTable) -> ComparisonTable:
    """Put the rows of another table (published or imported ones) before those of a table with the same columns."""
    return replace(
        table,
        methods=(*other.methods, *table.methods),
        entries={**table.entries, **{(m, c): other.entries.get((m, c)) for m in other.methods for c in table.columns}},
        published=table.published | other.published,
        imported=table.imported | other.imported,
        remarks=(*table.remarks, *other.remarks),
    )


def shots_text(shots: int) -> str:
    return f"{shots} shot" if shots == 1 else f"{shots} shots"


def _entry(values: Array) -> Entry | None:
    """Of the values by seed that are there (S,); None where there is none."""
    known = values[~np.isnan(values)]
    return Entry.over_seeds(known) if len(known) else None


def _whole_entry(values: Array) -> Entry | None:
    """An entry that stands for a whole grid: None where any seed lacks its value."""
    return None if np.isnan(values).any() else _entry(values)
