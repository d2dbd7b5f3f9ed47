"""A table whatever its columns: entries with their spread and n, marks of the best, and the notes below.

A table hides nothing it stands on: every entry carries its spread over seeds and its n, and what is missing is shown.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from dualpt.core.results import (
    HARMONIC_MEAN,
    Measure,
    measure_of,
)
from dualpt.sweeps.comparison.labels import AVERAGE, GROUPS, column_title, group_of, method_title
from dualpt.sweeps.comparison.values import Array
from dualpt.sweeps.console import counted

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

    @property
    def of_one_draw(self) -> "Entry":
        """The mean alone, where all seeds trained on the same images."""
        return Entry(self.mean, None, 1)

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
            columns = {column for _, column in self.one_draw}
            shared = ", ".join(self.head(column) for column in self.columns if column in columns)
            notes.append(f"n = 1: one draw serves all seeds, so nothing is known of its spread ({shared})")
        single = {key for key, entry in self.entries.items() if entry is not None and entry.n == 1} - self.one_draw
        if any(method not in self.untrained and method not in foreign for method, _ in single):
            notes.append("n = 1: a single seed, no spread")
        notes += self.remarks
        lacking = [(m, count) for m, count in self.missing.items() if count]
        return notes + [f"{method_title(m)}: {counted(count, 'cell')} missing" for m, count in lacking]


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


def known_entry(values: Array) -> Entry | None:
    """Of the values by seed that are there (S,); None where there is none."""
    known = values[~np.isnan(values)]
    return Entry.over_seeds(known) if len(known) else None


def whole_entry(values: Array) -> Entry | None:
    """An entry that stands for a whole grid: None where any seed lacks its value."""
    return None if np.isnan(values).any() else known_entry(values)


def without_spread(
    entries: Mapping[tuple[str, str], Entry | None], one_draw: frozenset[tuple[str, str]]
) -> dict[tuple[str, str], Entry | None]:
    """What rests on one draw has its mean alone."""
    return {
        key: entry.of_one_draw if entry is not None and key in one_draw else entry for key, entry in entries.items()
    }


def shots_text(shots: int) -> str:
    return counted(shots, "shot")
