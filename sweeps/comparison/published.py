"""Rows that others have published, with their sources, to stand beside ours where protocol, grid and backbone agree.

Never beside the mini grid. No figure of DuAl-PT is among them: none is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from dualpt.core.data.catalog import REAL_GRID
from dualpt.core.errors import UserError
from dualpt.core.files.yaml_reader import read_yaml
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.selection import Selection
from dualpt.sweeps.comparison.tables.averages import MEAN_OF_H
from dualpt.sweeps.comparison.tables.table import ComparisonTable, Entry

FOLDER = Path(__file__).with_name("published")
BACKBONE_NAME, BACKBONE_WEIGHTS = "backbone.name", "backbone.pretrained"
BACKBONE_PARAMS = (BACKBONE_NAME, BACKBONE_WEIGHTS)
"""Columns that a frame needs to be set beside published rows (see `frames.read_frame`)."""

Accuracies = Mapping[str, float]
"""Dataset -> percent."""


@dataclass(frozen=True)
class PublishedMethod:
    """One method as published: metric -> shots (0: no sample was drawn) -> accuracies."""

    title: str
    paper: str
    """The paper of the method."""
    accuracies: Mapping[str, Mapping[int, Accuracies]]
    averages: Mapping[str, Mapping[int, float]]
    """Metric -> shots -> percent over the eleven datasets, where their own numbers are not published."""
    rerun_by: str | None
    """Whose paper ran it again; None where the numbers are its authors'."""
    flags: Sequence[str]
    """How its numbers were selected, where not on validation images alone."""

    @property
    def row(self) -> str:
        """Its name in a table."""
        return f"{self.title} (published)" if self.rerun_by is None else f"{self.title} (rerun by {self.rerun_by})"

    def at(self, metric: str, shots: int) -> Accuracies:
        """Accuracies at a number of shots; zero-shot ones stand at all. Empty where none was published."""
        if metric == HARMONIC_MEAN:
            base, new = self.at(BASE_ACCURACY, shots), self.at(NEW_ACCURACY, shots)
            return {dataset: harmonic_mean(base[dataset], new[dataset]) for dataset in base if dataset in new}
        by_shots = self.accuracies.get(metric, {})
        return by_shots.get(shots) or by_shots.get(0) or {}

    def average(self, metric: str, shots: int, datasets: Sequence[str]) -> float | None:
        """Mean accuracy over datasets, or the published one where they are the eleven; None where some are missing."""
        if set(datasets) == set(REAL_GRID) and shots in self.averages.get(metric, {}):
            return self.averages[metric][shots]
        return _mean(self.at(metric, shots), datasets)


@dataclass(frozen=True)
class Published:
    """A published table."""

    protocol: str
    backbone: str
    """Architecture without suffixes such as `-quickgelu`."""
    tabulated_by: str
    seeds: str
    """What the numbers are means over."""
    methods: tuple[PublishedMethod, ...]
    remarks: Mapping[str, str]
    """Method -> what is to be known of its numbers."""


def load_published() -> list[Published]:
    """The published tables that ship."""
    return [_read(path) for path in sorted(FOLDER.glob("*.yaml"))]


def _read(path: Path) -> Published:
    document = read_yaml(path)
    return Published(
        protocol=document["protocol"],
        backbone=document["backbone"],
        tabulated_by=document["tabulated_by"],
        seeds=document.get("seeds", "means over three seeds"),
        methods=tuple(_read_method(title, one, document["datasets"]) for title, one in document["methods"].items()),
        remarks=document.get("remarks", {}),
    )


def _read_method(title: str, declared: Mapping[str, Any], datasets: Sequence[str]) -> PublishedMethod:
    """A method's numbers: per metric and shots a list in the order of datasets, or their average alone."""
    accuracies: dict[str, dict[int, Accuracies]] = {}
    averages: dict[str, dict[int, float]] = {}
    for metric in (TEST_ACCURACY, BASE_ACCURACY, NEW_ACCURACY):
        for shots, values in declared.get(metric, {}).items():
            if isinstance(values, list):
                accuracies.setdefault(metric, {})[int(shots)] = dict(zip(datasets, values, strict=True))
            else:
                averages.setdefault(metric, {})[int(shots)] = values
    return PublishedMethod(
        title, declared["paper"], accuracies, averages, declared.get("rerun_by"), declared.get("flags", ())
    )


def published_for(selection: Selection) -> tuple[Published, ...]:
    """The published tables that may stand beside the selected cells; at least one.

    Args:
        selection: of a frame that was read with `BACKBONE_PARAMS`.

    Raises:
        UserError: mini datasets, another protocol, or another backbone; the line says which.
    """
    if mini := [name for name in selection.datasets if name not in REAL_GRID]:
        raise UserError(f"--published: no published number belongs beside {', '.join(mini)}; the real grid has some")
    tables = [table for table in load_published() if table.protocol == selection.protocol]
    if not tables:
        raise UserError(f"--published: no published table of {selection.protocol} ships")
    own = sorted(set(selection.cells[BACKBONE_NAME].dropna()))
    if found := tuple(table for table in tables if all(same_family(name, table.backbone) for name in own)):
        _check_weights(selection.cells)
        return found
    known = " or ".join(dict.fromkeys(table.backbone for table in tables))
    raise UserError(f"--published: published with {known}, and these cells with {', '.join(own)}")


def same_family(name: str, backbone: str) -> bool:
    """Whether a backbone is the architecture that others name, whatever their spelling of OpenAI's activation."""
    return name == backbone or name == f"{backbone}-quickgelu"


def _check_weights(cells: pd.DataFrame) -> None:
    if "random" in set(cells[BACKBONE_WEIGHTS].dropna()):
        raise UserError("--published: these cells have a random backbone; published ones have OpenAI's weights")


def published_rows(
    published: Sequence[Published], table: ComparisonTable, *, datasets: Sequence[str], shots: int | None
) -> ComparisonTable:
    """The published methods with the columns of a table: by dataset, by shots (shots None), or base, new and H.

    Averages are taken over `datasets`, the table's own.
    """
    entries: dict[tuple[str, str], Entry | None] = {}
    remarks: list[str] = []
    for source in published:
        for method in source.methods:
            for column in table.columns:
                value = _value(method, table, column, datasets, shots)
                entries[method.row, column] = None if value is None else Entry(value, None, 0)
        remarks += _remarks(source, [m for m in source.methods if _is_shown(m, entries, table)])
    shown = [m.row for source in published for m in source.methods if _is_shown(m, entries, table)]
    return ComparisonTable(
        title=table.title,
        metric=table.metric,
        methods=tuple(shown),
        columns=table.columns,
        entries=entries,
        missing={},
        untrained=frozenset(),
        heads=table.heads,
        published=frozenset(shown),
        remarks=tuple(remarks),
    )


def _is_shown(method: PublishedMethod, entries: Mapping[tuple[str, str], Entry | None], table: ComparisonTable) -> bool:
    return any(entries[method.row, column] is not None for column in table.columns)


def _remarks(source: Published, shown: Sequence[PublishedMethod]) -> list[str]:
    """Where the shown rows are from, and what is to be known of them; nothing where none is shown."""
    if not shown:
        return []
    papers = "; ".join(f"{method.title} {method.paper}" for method in shown)
    remarks = [f"published rows: {source.seeds} as tabulated by {source.tabulated_by}; papers: {papers}"]
    remarks += [f"{method.row}: {', '.join(method.flags)}" for method in shown if method.flags]
    titles = {method.title for method in shown}
    return remarks + [f"{title}: {remark}" for title, remark in source.remarks.items() if title in titles]


def _value(
    method: PublishedMethod, table: ComparisonTable, column: str, datasets: Sequence[str], shots: int | None
) -> float | None:
    """A published number, or an average over datasets; None where one is missing."""
    if shots is None:
        return _average(method, table.metric, int(column), datasets)
    if column in REAL_GRID:
        return method.at(table.metric, shots).get(column)
    if column == MEAN_OF_H:
        return _mean(method.at(HARMONIC_MEAN, shots), datasets)
    return _average(method, table.metric if column == AVERAGE else column, shots, datasets)


def _average(method: PublishedMethod, metric: str, shots: int, datasets: Sequence[str]) -> float | None:
    """The average over datasets; that of H is the harmonic mean of averages, as the field reports it."""
    if metric != HARMONIC_MEAN:
        return method.average(metric, shots, datasets)
    base, new = (method.average(half, shots, datasets) for half in (BASE_ACCURACY, NEW_ACCURACY))
    return None if base is None or new is None else harmonic_mean(base, new)


def _mean(accuracies: Accuracies, datasets: Sequence[str]) -> float | None:
    values = [accuracies[name] for name in datasets if name in accuracies]
    return fmean(values) if len(values) == len(datasets) else None
