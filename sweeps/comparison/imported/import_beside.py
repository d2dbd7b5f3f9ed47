"""Imported results as rows of a table, where protocol, shots, datasets and backbone agree with those of its cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from dualpt.core.data.table_file import DELIMITERS
from dualpt.core.errors import UserError
from dualpt.core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, harmonic_mean
from dualpt.sweeps.comparison.imported.csv_results import read_csv
from dualpt.sweeps.comparison.imported.dassl_logs import read_logs
from dualpt.sweeps.comparison.imported.imported_result import Findings, ImportedResult
from dualpt.sweeps.comparison.labels import AVERAGE
from dualpt.sweeps.comparison.published import BACKBONE_NAME, same_family
from dualpt.sweeps.comparison.selection import Selection
from dualpt.sweeps.comparison.tables.averages import MEAN_OF_H
from dualpt.sweeps.comparison.tables.table import ComparisonTable, Entry, joined

ON_TRUST = (
    "imported rows: mean ± standard deviation over their own seeds; images and weights are not checked, so these rows "
    "take no part in statistics"
)

BySeed = Mapping[int | None, ImportedResult]


@dataclass(frozen=True)
class Imported:
    """The results that may stand beside the selected cells."""

    results: Mapping[tuple[str, str, int, str], BySeed]
    """(method, metric, shots, dataset) -> its results by seed."""
    remarks: tuple[str, ...] = field(default=())

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order in which they were read."""
        return tuple(dict.fromkeys(method for method, *_ in self.results))

    def entry(self, method: str, metric: str, shots: int, dataset: str) -> Entry | None:
        """The value on one dataset; what nothing was trained for stands at every number of shots."""
        by_seed = self._by_seed(method, metric, shots, dataset)
        if None in by_seed:
            return Entry(by_seed[None], self._stated_spread(method, metric, shots, dataset), 0)
        return _entry_of(by_seed)

    def average(self, method: str, metric: str, shots: int, datasets: Sequence[str]) -> Entry | None:
        """Over datasets, of which none may be missing; by seed where all have the same seeds. H is that of averages."""
        if metric == HARMONIC_MEAN:
            base, new = (self._averages(method, half, shots, datasets) for half in (BASE_ACCURACY, NEW_ACCURACY))
            by_seed = {seed: harmonic_mean(base[seed], new[seed]) for seed in base if seed in new}
        else:
            by_seed = dict(self._averages(method, metric, shots, datasets))
        return _entry_of(by_seed)

    def mean_of_h(self, method: str, shots: int, datasets: Sequence[str]) -> Entry | None:
        """The average of the datasets' own harmonic means."""
        return _entry_of(self._averages(method, HARMONIC_MEAN, shots, datasets))

    def _averages(self, method: str, metric: str, shots: int, datasets: Sequence[str]) -> Mapping[int | None, float]:
        """By seed, or under None a mean of means where the datasets' seeds differ; empty where one is missing."""
        found = [self._by_seed(method, metric, shots, dataset) for dataset in datasets]
        if not found or not all(found):
            return {}
        if len({frozenset(by_seed) for by_seed in found}) == 1:
            return {seed: fmean(by_seed[seed] for by_seed in found) for seed in found[0]}
        return {None: fmean(fmean(by_seed.values()) for by_seed in found)}

    def _by_seed(self, method: str, metric: str, shots: int, dataset: str) -> Mapping[int | None, float]:
        if metric == HARMONIC_MEAN:
            base, new = (self._by_seed(method, half, shots, dataset) for half in (BASE_ACCURACY, NEW_ACCURACY))
            return {seed: harmonic_mean(base[seed], new[seed]) for seed in base if seed in new}
        return {seed: result.value for seed, result in self._results(method, metric, shots, dataset).items()}

    def _results(self, method: str, metric: str, shots: int, dataset: str) -> BySeed:
        own = self.results.get((method, metric, shots, dataset))
        return own or self.results.get((method, metric, 0, dataset)) or {}

    def _stated_spread(self, method: str, metric: str, shots: int, dataset: str) -> float | None:
        found = self._results(method, metric, shots, dataset)
        return found[None].spread if None in found else None


NOTHING_IMPORTED = Imported({})


def _entry_of(by_seed: Mapping[int | None, float]) -> Entry | None:
    if None in by_seed:
        return Entry(by_seed[None], None, 0)
    return Entry.over_seeds(np.array(list(by_seed.values()))) if by_seed else None


def imported_for(selection: Selection, paths: Sequence[Path]) -> Imported:
    """The results in files and folders of other tools that may stand beside the selected cells; at least one of each.

    Without files and folders, nothing.

    Args:
        selection: of a frame that was read with `published.BACKBONE_PARAMS`.
        paths: output folders of CoOp's code and its descendants', logs, and tables (`.csv`, `.tsv`).

    Raises:
        UserError: a path that can't be read, results that contradict each other, or none that fits; the line says why.
    """
    if not paths:
        return NOTHING_IMPORTED
    if selection.protocol not in ("few-shot", "base-to-new"):
        raise UserError(
            f"--imported: reads results of few-shot and base-to-new, and these cells are of {selection.protocol}"
        )
    results: dict[tuple[str, str, int, str], dict[int | None, ImportedResult]] = {}
    remarks = [ON_TRUST]
    for path in paths:
        findings = _read(path, selection.datasets)
        fitting = _fitting(findings.results, selection, path)
        for one in fitting:
            _add(results, one)
        remarks += [*_seeds_of(fitting, path), *_without_backbone(fitting, path), *findings.remarks()]
    return Imported(results, tuple(remarks))


def _read(path: Path, datasets: Sequence[str]) -> Findings:
    if not path.exists():
        raise UserError(f"--imported: {path}: no such file or folder")
    by_suffix = path.suffix.lower() in DELIMITERS and not path.is_dir()
    return read_csv(path, datasets) if by_suffix else read_logs(path, datasets)


def _fitting(results: Sequence[ImportedResult], selection: Selection, path: Path) -> list[ImportedResult]:
    """Those of the protocol, the datasets, the shots and the backbone of the cells.

    Raises:
        UserError: there is none; the line says what was found in place of what.
    """
    backbones = sorted(map(str, set(selection.cells[BACKBONE_NAME].dropna())))
    shots = (0, *selection.shots)
    checks: tuple[Check, ...] = (
        ("protocol", [selection.protocol], lambda one: one.protocol, lambda one: one.protocol == selection.protocol),
        ("datasets", selection.datasets, lambda one: one.dataset, lambda one: one.dataset in selection.datasets),
        ("shots", selection.shots, lambda one: one.shots, lambda one: one.shots in shots),
        ("backbone", backbones, lambda one: one.backbone, lambda one: _has_backbone(one, backbones)),
    )
    for what, wanted, said, fits in checks:
        found = dict.fromkeys(map(said, results))
        results = [one for one in results if fits(one)]
        if not results:
            raise UserError(
                f"--imported: {path}: no result fits these cells; {what} found: {_listed(found) or 'none'}; wanted: "
                f"{_listed(wanted)}"
            )
    return list(results)


Check = tuple[str, Sequence[object], Callable[[ImportedResult], object], Callable[[ImportedResult], bool]]
"""What is compared, what the cells have, what a result says, and whether they agree."""


def _listed(words: Iterable[object]) -> str:
    return ", ".join(map(str, words))


def _has_backbone(result: ImportedResult, backbones: Sequence[str]) -> bool:
    return result.backbone is None or all(same_family(name, result.backbone) for name in backbones)


def _add(results: dict[tuple[str, str, int, str], dict[int | None, ImportedResult]], one: ImportedResult) -> None:
    """Raises a UserError where the same run has a result already."""
    by_seed = results.setdefault((one.method, one.metric, one.shots, one.dataset), {})
    if by_seed and (one.seed in by_seed or one.seed is None or None in by_seed):
        other = by_seed.get(one.seed) or next(iter(by_seed.values()))
        at = f"{one.method} on {one.dataset} at {one.shots} shots" + ("" if one.seed is None else f", seed {one.seed}")
        raise UserError(
            f"--imported: two results of {at}: {other.source} and {one.source}; give the folder or the lines of one"
        )
    by_seed[one.seed] = one


def _seeds_of(results: Sequence[ImportedResult], path: Path) -> list[str]:
    """`CoOp (imported): seeds 1, 2, 3; from output`, for each method."""
    seeds: dict[str, set[int]] = {}
    for one in results:
        seeds.setdefault(one.method, set()).update(() if one.seed is None or not one.shots else (one.seed,))
    said = {method: f"seeds {_listed(sorted(own))}; " if own else "" for method, own in seeds.items()}
    return [f"{imported_row(method)}: {words}from {path}" for method, words in said.items()]


def _without_backbone(results: Sequence[ImportedResult], path: Path) -> list[str]:
    return [f"{path} doesn't say its backbone"] if any(one.backbone is None for one in results) else []


def imported_row(method: str) -> str:
    """Its name in a table."""
    return f"{method} (imported)"


def imported_rows(
    imported: Imported, table: ComparisonTable, *, datasets: Sequence[str], shots: int | None
) -> ComparisonTable:
    """The imported methods with the columns of a table: by dataset, by shots (shots None), or base, new and H.

    Args:
        datasets: the table's own, which averages are taken over.
    """
    entries: dict[tuple[str, str], Entry | None] = {}
    for method in imported.methods:
        for column in table.columns:
            entries[imported_row(method), column] = _value(imported, method, table, column, datasets, shots)
    rows = tuple(map(imported_row, imported.methods))
    shown = tuple(row for row in rows if any(entries[row, column] is not None for column in table.columns))
    return ComparisonTable(
        title=table.title,
        metric=table.metric,
        methods=shown,
        columns=table.columns,
        entries=entries,
        missing={},
        untrained=frozenset(),
        heads=table.heads,
        imported=frozenset(shown),
        remarks=imported.remarks if shown else (),
    )


def with_imported(
    imported: Imported, tables: Mapping[int, ComparisonTable], datasets: Sequence[str]
) -> dict[int, ComparisonTable]:
    """Tables by dataset, by their shots, all with the same imported methods: those with a result at any of them."""
    rows = {k: imported_rows(imported, table, datasets=datasets, shots=k) for k, table in tables.items()}
    methods = tuple(dict.fromkeys(method for found in rows.values() for method in found.methods))
    everywhere = {k: replace(found, methods=methods, imported=frozenset(methods)) for k, found in rows.items()}
    return {k: joined(table, everywhere[k]) for k, table in tables.items()}


def _value(
    imported: Imported, method: str, table: ComparisonTable, column: str, datasets: Sequence[str], shots: int | None
) -> Entry | None:
    if shots is None:
        return imported.average(method, table.metric, int(column), datasets)
    if column in datasets:
        return imported.entry(method, table.metric, shots, column)
    if column == MEAN_OF_H:
        return imported.mean_of_h(method, shots, datasets)
    return imported.average(method, table.metric if column == AVERAGE else column, shots, datasets)
