"""The tables and figures of results in a report: those of `dualpt compare`, for every protocol of the sweep."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.compare import comparison_tables, own_metric, rendered
from dualpt.sweeps.comparison.formats.documents import AnyTable
from dualpt.sweeps.comparison.frames import cells_frame
from dualpt.sweeps.comparison.imported.import_beside import NOTHING_IMPORTED, Imported, imported_for
from dualpt.sweeps.comparison.labels import AVERAGE, method_title
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.tables.table import ComparisonTable
from dualpt.sweeps.ledger.launch_record import log_keys
from dualpt.sweeps.records import CellRow, SweepRow
from dualpt.sweeps.report.facts import Table, Text, word

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from dualpt.sweeps.comparison.draw import LossCurves

BASELINE = "coop"
"""What differences and statistics are to, where the sweep has it."""
ALTERNATIVES = {
    "curves": "Accuracy against the number of shots, one panel for the average and one for each dataset",
    "scatter": "Base against new accuracy of each method, with lines of equal harmonic mean",
    "radar": "Accuracy of each method on each dataset, datasets as spokes",
    "pareto": "Shots against accuracy, with the front of those that nothing beats",
    "ranks": "Mean ranks of the methods over datasets, with Nemenyi's critical difference",
}
"""Kinds of figures in their order on the page, and what each shows, in words."""
DOCUMENTS = {"md": "markdown", "csv": "csv", "tex": "latex-document"}
"""Suffix -> format of the tables beside the page."""


@dataclass(frozen=True)
class Figure:
    alternative: str
    """What it shows, in words."""
    uri: str
    """The picture itself, as a data URI."""


@dataclass(frozen=True)
class Results:
    """Of one protocol."""

    protocol: str
    tables: list[Table] = field(default_factory=list)
    """Accuracies: averages by shots first, then by dataset, most shots first."""
    statistics: list[Table] = field(default_factory=list)
    """Differences to the baseline, and what can be claimed of them."""
    no_statistics: str = ""
    """Why there are none."""
    figures: list[Figure] = field(default_factory=list)
    absent: str = ""
    """Why there are none."""


def results_of(
    name: str, frame: pd.DataFrame, loss_curves: "LossCurves", folder: Path, imported: Sequence[Path] = ()
) -> list[Results]:
    """Tables and figures of each protocol; the same go to `folder` as files.

    Args:
        frame: all shown cells of the sweep; with `published.BACKBONE_PARAMS` where anything is imported.
        imported: files and folders of other tools.

    Raises:
        UserError: none of their results fits the cells of any protocol.
    """
    found, misfits = [], list[UserError]()
    for protocol in sorted(set(frame["protocol"])):
        try:
            selection = select({name: frame}, protocol=protocol)
            beside = _imported_for(selection, imported, misfits)
            tables, without = _tables(selection, beside)
        except UserError as error:
            found.append(Results(protocol, absent=str(error)))
            continue
        for suffix, form in DOCUMENTS.items():
            (folder / f"tables-{protocol}.{suffix}").write_text(rendered(tables, form) + "\n", encoding="utf-8")
        accuracies = [table for table in tables if isinstance(table, ComparisonTable) and table.baseline is None]
        others = [table for table in tables if table not in accuracies]
        found.append(
            Results(
                protocol,
                tables=[page_table(table) for table in reversed(accuracies)],
                statistics=[page_table(table) for table in others],
                no_statistics=without,
                figures=[*_figures(selection, folder, beside), *_training(selection, loss_curves, folder)],
            )
        )
    if misfits and len(misfits) == len(found):
        raise misfits[0]
    return found


def _imported_for(selection: Selection, paths: Sequence[Path], misfits: list[UserError]) -> Imported:
    """What fits the cells; nothing, and a misfit more, where other protocols may be meant."""
    try:
        return imported_for(selection, paths)
    except UserError as error:
        misfits.append(error)
        return NOTHING_IMPORTED


def _tables(selection: Selection, imported: Imported) -> tuple[list[AnyTable], str]:
    """Tables, with statistics against the baseline where its cells are whole; else the reason why there are none."""
    if BASELINE not in set(selection.cells["trial"]):
        reason = f"no statistics: the sweep has no {method_title(BASELINE)} to compare methods with"
        return comparison_tables(selection, all_shots=True, imported=imported), reason
    try:
        return comparison_tables(selection, all_shots=True, baseline=BASELINE, imported=imported), ""
    except UserError as error:
        without = f"no statistics: {str(error).removeprefix('--baseline: ')}"
        return comparison_tables(selection, all_shots=True, imported=imported), without


def page_table(table: AnyTable) -> Table:
    """A table of `dualpt compare` as the page shows it."""
    notes = tuple(table.notes())
    if isinstance(table, PlainTable):
        return Table(table.title, table.head, [tuple(map(_sortable, row)) for row in table.rows], notes)
    marks = {1: "best", 2: "second", None: ""}
    columns = sorted(table.columns, key=lambda column: column != AVERAGE)  # what one looks for stands first
    groups = {method: title for title, of_group in table.sections for method in of_group if title}
    rows = []
    for method in table.methods:
        entries = [table.entries[method, column] for column in columns]
        texts = [
            Text(table.text(method, column), float("-inf") if entry is None else entry.mean, mark=marks[place])
            for column, entry in zip(columns, entries, strict=True)
            for place in [table.place(method, column)]
        ]
        group = [word(groups[method])] if groups else []
        rows.append((word(method_title(method)), *texts, *group))
    heads = ("method", *map(table.head, columns), *(["group"] if groups else []))
    return Table(table.title, heads, rows, notes, kept=2 if AVERAGE in columns else 1)


def _sortable(text: str) -> Text:
    """A text that begins with a number is sorted by it."""
    try:
        return Text(text, float(text.split()[0].lstrip("<≤").replace("−", "-")))
    except (ValueError, IndexError):
        return word(text)


def _figures(selection: Selection, folder: Path, imported: Imported) -> list[Figure]:
    """The figures of `dualpt figure` that these cells allow; SVG for the page, PDF beside it."""
    from dualpt.sweeps.comparison.draw import COMPARISONS, curves_figure

    drawn = []
    for kind, alternative in ALTERNATIVES.items():
        try:
            figure = (
                curves_figure(selection, None, None, imported)
                if kind == "curves"
                else COMPARISONS[kind](selection, None, None)
            )
        except (
            UserError
        ):  # each kind needs its own protocol, numbers of shots or methods: those that do not fit are absent
            continue
        drawn.append(_kept(figure, folder / f"{kind}-{selection.protocol}.svg", alternative))
    return drawn


def _training(selection: Selection, loss_curves: "LossCurves", folder: Path) -> list[Figure]:
    """Loss curves at the most shots; none where no cell recorded one."""
    from dualpt.sweeps.comparison.draw import training_figure

    try:
        figure = training_figure(selection, loss_curves)
    except UserError:
        return []
    alternative = "Training loss over epochs at the most shots, one panel a dataset"
    return [_kept(figure, folder / f"training-{selection.protocol}.svg", alternative)]


def search_figures(sweep: SweepRow, rows: Sequence[CellRow], study: str, folder: Path) -> tuple[list[Figure], str]:
    """Of the candidates, and why their importances are not among them; none where fewer than two differ.

    Args:
        study: storage of the search's study.
    """
    from dualpt.sweeps.comparison.candidate_frame import candidates_frame
    from dualpt.sweeps.comparison.figures.search import importances, parallel_coordinates, slices
    from dualpt.sweeps.search import parameter_importances

    try:
        candidates = candidates_frame(cells_frame(sweep.name, rows, params=None), log_keys(sweep.launched))
    except UserError as error:
        return [], f"no figures of the search: {error}"
    figures = [
        _kept(parallel_coordinates(candidates), folder / "parallel.svg", "Every candidate's values as one line"),
        _kept(slices(candidates), folder / "slices.svg", "Validation accuracy of the candidates against each value"),
    ]
    try:
        found = parameter_importances(sweep.name, study)
        figure = importances(found.shares, judged=found.judged, doubtful=found.doubtful)
    except UserError as error:
        return figures, f"no importances: {error}"
    alternative = "Share of each parameter in what parameters account for, by Optuna's PED-ANOVA"
    return [*figures, _kept(figure, folder / "importance.svg", alternative)], ""


def oracle_gaps(name: str, frame: pd.DataFrame) -> tuple[list[Table], str]:
    """What selection on test would have given, per protocol; or why nothing can be said of it.

    Args:
        frame: all shown cells of the sweep.
    """
    from dualpt.sweeps.comparison.searched.oracle import oracle_table

    tables, why = [], ""
    for protocol in sorted(set(frame.loc[frame["kind"] == "search", "protocol"])):
        try:
            table = oracle_table({name: frame}, metric=own_metric(protocol), protocol=protocol)
        except UserError as error:
            why = str(error).removeprefix("--oracle: ")
            continue
        tables.append(page_table(replace(table, title=f"{table.title}, {protocol}")))
    return tables, why


def _kept(figure: "MatplotlibFigure", path: Path, alternative: str) -> Figure:
    from dualpt.sweeps.comparison.figures.style import save

    figure.draw_without_rendering()  # lays it out, which would otherwise be done for each format
    figure.set_layout_engine("none")
    figure.savefig(path.with_suffix(".pdf"))
    save(figure, path)
    return Figure(alternative, _data_uri(path))


def _data_uri(path: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"
