"""Sweeps compared: the tables of `dualpt compare` as data frames, and its figures as Matplotlib's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import Run
from dualpt.sweeps.comparison.compare import FORMATS, comparison_tables, own_metric, rendered
from dualpt.sweeps.comparison.frames import finished_shots, read_frame
from dualpt.sweeps.comparison.labels import find_method
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.tables.by_dataset import comparison
from dualpt.sweeps.comparison.tables.table import ComparisonTable
from dualpt.sweeps.comparison.values import check_finished
from dualpt.sweeps.console import counted
from dualpt.sweeps.notebook.arguments import naming_arguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCUMENTS = tuple(form for form in FORMATS if form != "table")


@naming_arguments
def compare(
    *names: str,
    store: str | None = None,
    study: str | None = None,
    protocol: str | None = None,
    common: bool = False,
    mix_selections: bool = False,
) -> "Comparison":
    """Compare the methods of one or several sweeps, as `dualpt compare` does.

    Args:
        names: sweeps or ablations.
        store: MLflow tracking store; by default that of $MLFLOW_TRACKING_URI, or `sqlite:///mlflow.db`.
        study: Optuna study storage, for the importance of parameters; `sqlite:///optuna.db` by default.
        protocol: needed where a sweep holds cells of several.
        common: compare on the datasets, shots and seeds that all the sweeps cover.
        mix_selections: compare sweeps whose settings were selected by different images.

    Raises:
        UserError: no such store or sweep, none with a comparable cell, or grids or selections that differ.
    """
    if not names:
        raise UserError("compare: name at least one sweep")
    places = Run() if store is None else Run(tracking_uri=store)
    frames = {name: read_frame(name, places.tracking_uri) for name in dict.fromkeys(names)}
    selection = select(frames, protocol=protocol, common=common, mix_selections=mix_selections)
    storage = study or places.study_storage
    return Comparison(tuple(frames), selection, places.tracking_uri, storage, common, mix_selections)


@dataclass(frozen=True, repr=False)
class Comparison:
    """Comparable cells of one or several sweeps: one protocol, one grid.

    `shots` and `metric` of its methods are by default the largest finished number, and what the protocol is judged by.
    """

    names: tuple[str, ...]
    selection: Selection
    store: str
    study: str
    common: bool = False
    mix_selections: bool = False

    def __repr__(self) -> str:
        chosen = self.selection
        methods, datasets = chosen.cells["trial"].nunique(), len(chosen.datasets)
        return (
            f"<Comparison of {', '.join(self.names)}: {counted(methods, 'method')}, {counted(datasets, 'dataset')}, "
            f"shots {', '.join(map(str, chosen.shots))}, seeds {', '.join(map(str, chosen.seeds))}>"
        )

    @property
    def cells(self) -> pd.DataFrame:
        """One row per cell of the whole grid, candidates left out; accuracies in percent."""
        return self.selection.cells.copy()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader must know: which sweeps are unfinished, what was recorded of their datasets."""
        return self.selection.remarks

    @naming_arguments
    def means(self, shots: int | None = None, metric: str | None = None) -> pd.DataFrame:
        """Methods by datasets and their `average`: means over seeds, in percent; NaN where a cell is missing.

        Raises:
            UserError: no finished cell has the metric at these shots.
        """
        return _entries(self._table(shots, metric), "mean")

    @naming_arguments
    def spreads(self, shots: int | None = None, metric: str | None = None) -> pd.DataFrame:
        """Standard deviations over seeds of `means`, with n - 1 in the denominator; NaN for a single seed.

        Raises:
            UserError: as `means`.
        """
        return _entries(self._table(shots, metric), "spread")

    @naming_arguments
    def statistics(self, baseline: str, shots: int | None = None, metric: str | None = None) -> pd.DataFrame:
        """What can be claimed of each method against a baseline, paired by dataset and seed (docs/comparing.md).

        Columns: `difference` of means in points with its bootstrap interval (`low`, `high`), datasets `higher` and
        `lower`, the probability of being `better` with its interval (`better_low`, `better_high`), Wilcoxon's `p`,
        `search_p`, corrected for the search that selected one of the two, `holm`, corrected for the methods compared
        too, and `claim`: yes, perhaps or no.

        Args:
            baseline: a method by its name or title.

        Raises:
            UserError: no such method, fewer than two datasets, or a baseline that lacks a cell.
        """
        from dualpt.sweeps.comparison.claims import claims_of  # SciPy, which takes a second
        from dualpt.sweeps.comparison.statistics import claim

        cells = self.selection.cells
        chosen = find_method(baseline, dict.fromkeys(cells["trial"]), "baseline")
        at, judged = self._at(shots, metric)
        searches = self.selection.searches
        found = claims_of(cells, self.selection.grid, chosen, shots=at, metric=judged, searches=searches)
        rows = {
            method: {
                "difference": paired.difference,
                "low": paired.interval.low,
                "high": paired.interval.high,
                "higher": paired.higher,
                "lower": paired.lower,
                "better": paired.better,
                "better_low": paired.better_interval.low,
                "better_high": paired.better_interval.high,
                "p": paired.p,
                "search_p": paired.search_p,
                "holm": paired.holm,
                "claim": claim(paired.interval, paired.holm),
            }
            for method, paired in found.paired.items()
        }
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
        frame.attrs.update(baseline=chosen, shots=at, metric=judged, words=found.words())
        return frame

    @naming_arguments
    def figure(self, kind: str = "curves", shots: int | None = None, metric: str | None = None) -> "Figure":
        """A figure of `dualpt figure`: curves, scatter, radar, pareto, ranks, training, parallel, slices, importance.

        Args:
            metric: of curves, radar, pareto and ranks; None is the protocol's own.

        Raises:
            UserError: an unknown kind or metric, or nothing that it could show.
        """
        from dualpt.sweeps.comparison.draw import COMPARISONS, check_metric_of, drawn

        if kind in COMPARISONS:  # from the cells at hand, which a running sweep may have left behind
            check_metric_of(kind, metric)
            return COMPARISONS[kind](self.selection, shots, metric)
        return drawn(
            kind,
            self.names,
            shots=shots,
            metric=metric,
            protocol=self.selection.protocol,
            common=self.common,
            mix_selections=self.mix_selections,
            store=self.store,
            study=self.study,
        )

    @naming_arguments
    def document(self, form: str = "markdown", *, shots: int | None = None, baseline: str | None = None) -> str:
        """The tables as one text: markdown, latex, latex-document, csv or json.

        Raises:
            UserError: an unknown format, or a fault of `means` or `statistics`.
        """
        if form not in DOCUMENTS:
            raise UserError(f"document: unknown format '{form}' (known: {', '.join(DOCUMENTS)})")
        return rendered(comparison_tables(self.selection, shots=shots, baseline=baseline), form)

    def _at(self, shots: int | None, metric: str | None) -> tuple[int, str]:
        judged = metric or own_metric(self.selection.protocol)
        cells = self.selection.cells
        at = shots if shots is not None else max(finished_shots(cells, judged), default=0)
        check_finished(cells, at, judged)
        return at, judged

    def _table(self, shots: int | None, metric: str | None) -> ComparisonTable:
        at, judged = self._at(shots, metric)
        return comparison(self.selection.cells, self.selection.grid, shots=at, metric=judged)


def _entries(table: ComparisonTable, part: str) -> pd.DataFrame:
    def value(method: str, column: str) -> float:
        found = getattr(table.entries[method, column], part, None)
        return math.nan if found is None else found

    columns: Sequence[str] = table.columns
    values = [[value(method, column) for column in columns] for method in table.methods]
    return pd.DataFrame(values, index=pd.Index(table.methods, name="method"), columns=pd.Index(columns, name="dataset"))
