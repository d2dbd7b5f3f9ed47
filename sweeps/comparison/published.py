"""Rows that others have published, with their sources, to stand beside ours where protocol, grid and backbone agree.

Never beside the mini grid. No figure of DuAl-PT is among them: none is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from dualpt.core.data.catalog import REAL_GRID
from dualpt.core.errors import UserError
from dualpt.core.files.yaml_reader import read_yaml
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.selection import Selection
from dualpt.sweeps.comparison.tables import MEAN_OF_H, ComparisonTable, Entry

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

    @property
    def row(self) -> str:
        """Its name in a table."""
        return f"{self.title} (published)"

    def at(self, metric: str, shots: int) -> Accuracies:
        """Accuracies at a number of shots; zero-shot ones stand at all. Empty where none was published."""
        if metric == HARMONIC_MEAN:
            base, new = self.at(BASE_ACCURACY, shots), self.at(NEW_ACCURACY, shots)
            return {dataset: harmonic_mean(base[dataset], new[dataset]) for dataset in base if dataset in new}
        by_shots = self.accuracies.get(metric, {})
        return by_shots.get(shots) or by_shots.get(0) or {}


@dataclass(frozen=True)
class Published:
    """A published table."""

    protocol: str
    backbone: str
    """Architecture without suffixes such as `-quickgelu`."""
    tabulated_by: str
    methods: tuple[PublishedMethod, ...]
    remarks: Mapping[str, str]
    """Method -> what is to be known of its numbers."""


def load_published() -> list[Published]:
    """The published tables that ship."""
    return [_read(path) for path in sorted(FOLDER.glob("*.yaml"))]


def _read(path: Path) -> Published:
    document = read_yaml(path)
    datasets = document["datasets"]
    methods = []
    for title, declared in document["methods"].items():
        accuracies = {
            metric: {int(shots): dict(zip(datasets, values, strict=True)) for shots, values in by_shots.items()}
            for metric, by_shots in declared.items()
            if metric != "paper"
        }
        methods.append(PublishedMethod(title, declared["paper"], accuracies))
    remarks = document.get("remarks", {})
    return Published(document["protocol"], document["backbone"], document["tabulated_by"], tuple(methods), remarks)


def published_for(selection: Selection) -> Published:
    """The published table that may stand beside the selected cells.

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
    for table in tables:
        if all(_same_family(name, table.backbone) for name in own):
            _check_weights(selection.cells)
            return table
    known = " or ".join(table.backbone for table in tables)
    raise UserError(f"--published: published with {known}, and these cells with {', '.join(own)}")


def _same_family(name: str, backbone: str) -> bool:
    return name == backbone or name == f"{backbone}-quickgelu"


def _check_weights(cells: pd.DataFrame) -> None:
    if "random" in set(cells[BACKBONE_WEIGHTS].dropna()):
        raise UserError("--published: these cells have a random backbone; published ones have OpenAI's weights")


def published_rows(
    published: Published, table: ComparisonTable, *, datasets: Sequence[str], shots: int | None
) -> ComparisonTable:
    """The published methods with the columns of a table: by dataset, by shots (shots None), or base, new and H.

    Averages are taken over `datasets`, the table's own.
    """
    entries: dict[tuple[str, str], Entry | None] = {}
    for method in published.methods:
        for column in table.columns:
            value = _value(method, table, column, datasets, shots)
            entries[method.row, column] = None if value is None else Entry(value, None, 0)
    shown = [m for m in published.methods if any(entries[m.row, column] is not None for column in table.columns)]
    papers = "; ".join(f"{method.title} {method.paper}" for method in shown)
    remarks = [f"published rows: means over three seeds as tabulated by {published.tabulated_by}; papers: {papers}"]
    remarks += [f"{title}: {remark}" for title, remark in published.remarks.items()]
    return ComparisonTable(
        title=table.title,
        metric=table.metric,
        methods=tuple(method.row for method in shown),
        columns=table.columns,
        entries=entries,
        missing={},
        untrained=frozenset(),
        heads=table.heads,
        published=frozenset(method.row for method in shown),
        remarks=tuple(remarks),
    )


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
        return _mean(method.at(metric, shots), datasets)
    base, new = (_mean(method.at(half, shots), datasets) for half in (BASE_ACCURACY, NEW_ACCURACY))
    return None if base is None or new is None else harmonic_mean(base, new)


def _mean(accuracies: Accuracies, datasets: Sequence[str]) -> float | None:
    values = [accuracies[name] for name in datasets if name in accuracies]
    return fmean(values) if len(values) == len(datasets) else None
