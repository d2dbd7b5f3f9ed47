"""`dualpt compare`: from the ledger to what is printed, written or drawn."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pandas as pd
from rich.console import Console

from dualpt.core.config.sections import Protocol
from dualpt.core.data.protocols import TRANSFER_PROTOCOLS
from dualpt.core.errors import UserError, nearest
from dualpt.core.results import (
    COMPARED_METRICS,
    HARMONIC_MEAN,
    MEASURES,
    TEST_ACCURACY,
)
from dualpt.core.selection_rules import IN_WORDS
from dualpt.sweeps.comparison.formats.documents import AnyTable, to_csv, to_document, to_markdown
from dualpt.sweeps.comparison.formats.latex import to_latex, to_latex_document
from dualpt.sweeps.comparison.formats.terminal import print_notes, print_plain, print_table
from dualpt.sweeps.comparison.frames import finished_shots, read_frame
from dualpt.sweeps.comparison.imported.import_beside import NOTHING_IMPORTED, Imported, imported_for, imported_rows
from dualpt.sweeps.comparison.labels import find_method
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.published import BACKBONE_PARAMS, Published, published_for, published_rows
from dualpt.sweeps.comparison.searched.candidate_ranks import read_candidates, read_set_aside
from dualpt.sweeps.comparison.searched.candidate_table import (
    candidate_grid,
    candidate_table,
    grid_notes,
    winner_lines,
)
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.tables.averages import HALVES, base_to_new, by_shots
from dualpt.sweeps.comparison.tables.by_dataset import comparison, differences
from dualpt.sweeps.comparison.tables.cross_dataset import cross_dataset
from dualpt.sweeps.comparison.tables.table import ComparisonTable, joined
from dualpt.sweeps.console import say_whole
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.outputs import check_file, write_document

FORMATS = ("table", "markdown", "latex", "latex-document", "csv", "json")
TARGET_METRIC = re.compile(f"target/.+/({'|'.join(MEASURES)})")
"""A measure on one target; whether it is recorded, the table says."""


def compare_sweeps(
    console: Console,
    names: Sequence[str],
    *,
    shots: int | None = None,
    all_shots: bool = False,
    metric: str | None = None,
    protocol: str | None = None,
    baseline: str | None = None,
    common: bool = False,
    mix_selections: bool = False,
    published: bool = False,
    imported: Sequence[Path] = (),
    oracle: bool = False,
    form: str = "table",
    output: Path | None = None,
    figure: Path | None = None,
    store: str,
) -> None:
    """Print (or write) the tables of one or several sweeps, and draw their few-shot curves.

    Raises:
        UserError: no such store, sweep, format, metric, protocol, method or number of shots, grids that differ, or a
            path that cannot be written.
    """
    check_output(form, output)
    check_metric(metric)
    _check_words(protocol=(protocol, get_args(Protocol)))
    frames = {
        name: read_frame(name, store, BACKBONE_PARAMS if published or imported else ()) for name in dict.fromkeys(names)
    }
    selection = select(frames, protocol=protocol, common=common, mix_selections=mix_selections)
    beside = imported_for(selection, imported)
    tables = comparison_tables(
        selection,
        shots=shots,
        all_shots=all_shots,
        metric=metric,
        baseline=baseline,
        published=published_for(selection) if published else (),
        imported=beside,
    )
    if oracle:
        tables.append(_oracle(frames, metric or own_metric(selection.protocol), selection.protocol))
    if figure is not None:  # drawn before anything is printed: its faults are then all that is
        from dualpt.sweeps.comparison.figures.curves import few_shot_curves
        from dualpt.sweeps.comparison.figures.style import check_path, save

        check_path(figure, "--figure")
        shown = metric or own_metric(selection.protocol)
        drawn = few_shot_curves(selection.cells, selection.grid, metric=shown, imported=beside)
        save(drawn, figure, "--figure")
    show_tables(console, tables, form=form, output=output)
    if figure is not None:
        say_whole(console, f"figure: {figure}")


def show_candidates(console: Console, names: Sequence[str], *, form: str, output: Path | None, store: str) -> None:
    """Print (or write) the candidates of sweeps with their ranks, validation accuracies and searched values.

    Raises:
        UserError: no such store or sweep, one that searched nothing, or a path that cannot be written.
    """
    check_output(form, output)
    reader, found = open_reader(store), {}
    for name in dict.fromkeys(names):
        experiment = reader.named_experiment(name)
        rows, sweep = reader.shown_cells(experiment, ()), reader.sweep_row(experiment)
        found[name] = [*read_candidates(reader, experiment, rows, sweep), *read_set_aside(reader, experiment, sweep)]
        if not found[name]:
            raise UserError(f"--candidates: '{name}' has no candidate on record: it searched nothing so far")
    if form != "table" or output is not None:
        _write(rendered([candidate_table(name, found[name]) for name in found], form), output, console)
        return
    for name, candidates in found.items():
        console.print(name, style="bold", markup=False)
        grid = candidate_grid(candidates, console, shown=None)
        console.print(grid, crop=False)
        print_notes(grid_notes(grid), console)
        for line in winner_lines(candidates):
            say_whole(console, line)


def comparison_tables(
    selection: Selection,
    *,
    shots: int | None = None,
    all_shots: bool = False,
    metric: str | None = None,
    baseline: str | None = None,
    published: Sequence[Published] = (),
    imported: Imported = NOTHING_IMPORTED,
) -> list[AnyTable]:
    """The tables that the protocol asks for, the one by datasets first.

    Args:
        selection: the cells and their grid.
        shots: None is the largest finished number.
        all_shots: one table a number of shots, and the averages by shots.
        metric: None is the protocol's own (with all halves for base-to-new).
        baseline: a method by name or title; differences to it and statistics are then shown as well.
        published: rows to set beside ours (see `published_for`).
        imported: rows of other tools, likewise (see `imported_for`).

    Raises:
        UserError: no finished cell, or no such method.
    """
    cells, grid = selection.cells, selection.grid
    shown = metric or own_metric(selection.protocol)
    known = finished_shots(cells, shown)
    counts = known if all_shots else [shots if shots is not None else max(known, default=0)]
    chosen = None if baseline is None else find_method(baseline, dict.fromkeys(cells["trial"]), "--baseline")
    by_target = selection.protocol in TRANSFER_PROTOCOLS and metric is None
    tables: list[ComparisonTable] = []
    for k in counts or [0]:
        if by_target:
            tables += [cross_dataset(cells, source=d, shots=k, seeds=grid.seeds) for d in selection.datasets]
            continue
        metrics = HALVES[::-1] if selection.protocol == "base-to-new" and metric is None else (shown,)
        own = [comparison(cells, grid, shots=k, metric=m) for m in metrics]
        own += [base_to_new(cells, grid, shots=k)] if len(metrics) > 1 else []
        tables += [_beside(table, published, imported, selection, k) for table in own]
        if chosen is not None:
            tables.append(differences(cells, grid, chosen, shots=k, metric=shown))
    statistics = [] if chosen is None or by_target else _statistics(selection, chosen, counts or [0], shown)
    if all_shots and selection.protocol not in TRANSFER_PROTOCOLS:
        tables.append(_beside(by_shots(cells, grid, metric=shown), published, imported, selection, None))
    how = tuple(f"selection {IN_WORDS.get(rule, rule)}" for rule in selection.rules)
    first = replace(tables[0], remarks=(*tables[0].remarks, *how, *selection.remarks))
    all_of_them: list[AnyTable] = [first, *tables[1:], *statistics]
    return [_headed(table, selection) for table in all_of_them]


def _headed(table: AnyTable, selection: Selection) -> AnyTable:
    """With how settings were selected and classes drawn in its title, wherever that is not the field's way."""
    words = [] if set(selection.rules) <= {"validation"} else [" and ".join(selection.rules)]
    words += [] if set(selection.draws) <= {"standard"} else [f"{' and '.join(selection.draws)} draws"]
    return replace(table, title="; ".join([table.title, *words])) if words else table


def _statistics(selection: Selection, baseline: str, shots: Sequence[int], metric: str) -> list[PlainTable]:
    from dualpt.sweeps.comparison.claims import claims_at  # SciPy, which takes a second

    found = claims_at(
        selection.cells, selection.grid, baseline, shots=shots, metric=metric, searches=selection.searches
    )
    return [table for one in found for table in one.tables()]


def _oracle(frames: Mapping[str, pd.DataFrame], metric: str, protocol: str) -> PlainTable:
    from dualpt.sweeps.comparison.searched.oracle import oracle_table  # SciPy, which takes a second

    return oracle_table(frames, metric=metric, protocol=protocol)


def _beside(
    table: ComparisonTable,
    published: Sequence[Published],
    imported: Imported,
    selection: Selection,
    shots: int | None,
) -> ComparisonTable:
    """The table with the rows of others before its own."""
    with_imported = joined(table, imported_rows(imported, table, datasets=selection.datasets, shots=shots))
    return joined(with_imported, published_rows(published, table, datasets=selection.datasets, shots=shots))


def own_metric(protocol: str) -> str:
    """What a protocol is judged by."""
    return HARMONIC_MEAN if protocol == "base-to-new" else TEST_ACCURACY


def show_tables(console: Console, tables: Sequence[AnyTable], *, form: str, output: Path | None) -> None:
    """Print tables, or write them as a document.

    Raises:
        UserError: a path that cannot be written.
    """
    if form == "table" and output is None:
        for table in tables:
            print_plain(table, console) if isinstance(table, PlainTable) else print_table(table, console)
    else:
        _write(rendered(tables, form), output, console)


def rendered(tables: Sequence[AnyTable], form: str) -> str:
    """Tables as one document; `table` in a file is Markdown."""
    if form == "csv":
        return to_csv(tables)
    if form == "json":
        return json.dumps({"tables": [to_document(table) for table in tables]}, indent=1)
    if form == "latex":
        return "\n\n".join(map(to_latex, tables))
    if form == "latex-document":
        return to_latex_document(tables)
    return "\n\n".join(map(to_markdown, tables))


def check_output(form: str, output: Path | None) -> None:
    """Refuse a format or a path before any work is done; leaves nothing behind.

    Raises:
        UserError: an unknown format, or a path that cannot be written.
    """
    _check_words(format=(form, FORMATS))
    if output is not None:
        check_file(output, "--output")


def check_metric(metric: str | None) -> None:
    """Refuse the name of a metric that no cell can have.

    Raises:
        UserError: in one line, with the nearest name.
    """
    if metric is None or not TARGET_METRIC.fullmatch(metric):
        _check_words(metric=(metric, COMPARED_METRICS))


def _check_words(**words: tuple[str | None, Sequence[str]]) -> None:
    """Refuse a value of an option that is not among those known."""
    for option, (word, known) in words.items():
        if word is not None and word not in known:
            raise UserError(f"--{option}: unknown {option} '{word}'{nearest(word, known)} (known: {', '.join(known)})")


def _write(text: str, output: Path | None, console: Console) -> None:
    if output is None:
        print(text)
        return
    if write_document(text, output, "--output"):
        console.print(f"  table: {output}", highlight=False, markup=False)
