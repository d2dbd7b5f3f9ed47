"""`dualpt compare`: from the ledger to what is printed, written or drawn."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd
from rich.console import Console

from core.config import Protocol
from core.data.catalog import MINI_GRID, REAL_GRID
from core.errors import UserError, nearest
from core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, VAL_ACCURACY
from sweeps.stores import is_new
from sweeps.tables import (
    HALVES,
    ComparisonTable,
    base_to_new_rows,
    base_to_new_texts,
    comparable_cells,
    comparison,
    finished_shots,
    to_frame,
    to_markdown,
)
from sweeps.terminal import print_base_to_new, print_comparison

FORMATS = ("table", "markdown", "csv", "json")
METRICS = (TEST_ACCURACY, BASE_ACCURACY, NEW_ACCURACY, HARMONIC_MEAN, VAL_ACCURACY)


def compare_sweep(
    console: Console,
    name: str,
    *,
    shots: int | None = None,
    metric: str | None = None,
    protocol: str | None = None,
    form: str = "table",
    output: Path | None = None,
    figure: Path | None = None,
    store: str,
) -> None:
    """Print (or write) the comparison table of a sweep, and draw its few-shot curves.

    Raises:
        UserError: no such store, sweep, format, metric, protocol or number of shots, or a path that cannot be written.
    """
    _check_words(format=(form, FORMATS), metric=(metric, METRICS), protocol=(protocol, get_args(Protocol)))
    cells = _cells_of(name, protocol, store)
    base_to_new = (cells["protocol"] == "base-to-new").all()
    shown = metric or (HARMONIC_MEAN if base_to_new else TEST_ACCURACY)
    datasets, _, seeds = grid_of(cells)
    shots = shots if shots is not None else max(finished_shots(cells, shown), default=0)
    metrics = HALVES if base_to_new and metric is None else (shown,)
    tables = {m: comparison(cells, datasets=datasets, shots=shots, seeds=seeds, metric=m) for m in metrics}
    halves = base_to_new_rows(cells, datasets=datasets, shots=shots, seeds=seeds) if base_to_new else None
    if figure is not None:  # drawn before anything is printed: its faults are then all that is
        from sweeps.figures import few_shot_curves

        few_shot_curves(cells, datasets=datasets, seeds=seeds, metric=shown, path=figure)
    if form == "table" and output is None:
        print_comparison(tables[shown], console)
        if halves is not None:
            print_base_to_new(halves, console)
    else:
        rows = pd.concat([to_frame(table) for table in tables.values()])
        _write(_rendered(tables[shown], rows, halves, form), output, console)
    if figure is not None:
        console.print(f"  figure: {figure}", highlight=False)


def _check_words(**words: tuple[str | None, Sequence[str]]) -> None:
    """Refuse a value of an option that is not among those known."""
    for option, (word, known) in words.items():
        if word is not None and word not in known:
            raise UserError(f"--{option}: unknown {option} '{word}'{nearest(word, known)} (known: {', '.join(known)})")


def _cells_of(name: str, protocol: str | None, store: str) -> pd.DataFrame:
    """What a table of the sweep may show: cells of one protocol, of baselines and of the selected setting.

    Raises:
        UserError: there are none, or they are of several protocols and none was named.
    """
    cells = comparable_cells(read_frame(name, store))
    if cells.empty:
        raise UserError(f"sweep '{name}' has no cell of a baseline or of its selected setting yet (`dualpt status`)")
    recorded = sorted(set(cells["protocol"]))
    if protocol is None and len(recorded) > 1:
        raise UserError(f"sweep '{name}' holds cells of {' and '.join(recorded)}: choose one with --protocol")
    if protocol is not None and protocol not in recorded:
        raise UserError(f"--protocol: sweep '{name}' holds no cell of {protocol} (recorded: {', '.join(recorded)})")
    return cells[cells["protocol"] == (protocol or recorded[0])]


def _rendered(table: ComparisonTable, rows: pd.DataFrame, halves: pd.DataFrame | None, form: str) -> str:
    if form == "csv":
        return rows.to_csv(index=False)
    if form == "json":
        entries = json.loads(rows.to_json(orient="records"))
        document = {"title": table.title, "rows": entries, "missing": table.missing, "notes": table.notes()}
        if halves is not None:
            document["base_to_new"] = json.loads(halves.to_json(orient="records"))
        return json.dumps(document, indent=1)
    text = to_markdown(table)
    return text if halves is None else f"{text}\n\n{_markdown_halves(halves)}"


def _markdown_halves(halves: pd.DataFrame) -> str:
    lines = [list(halves.columns), ["---"] * len(halves.columns), *base_to_new_texts(halves)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _write(text: str, output: Path | None, console: Console) -> None:
    if output is None:
        print(text)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output: {output} cannot be written ({error.strerror})") from None
    console.print(f"  table: {output}", highlight=False)


def read_frame(name: str, store: str) -> pd.DataFrame:
    """All recorded cells of a sweep, one row each.

    Raises:
        UserError: the store does not exist, or holds no such sweep (the nearest is named).
    """
    if is_new(store):
        raise UserError(f"{store}: no such tracking store here; run a sweep first, or name one with --store")
    from sweeps.tracking import Ledger

    return pd.DataFrame([row.flat() for row in Ledger(store).read_cells(name)])


def grid_of(cells: pd.DataFrame) -> tuple[list[str], list[int], list[int]]:
    """Datasets in the field's order of columns, shots and seeds that the cells cover."""
    order = {name: place for place, name in enumerate((*REAL_GRID, *MINI_GRID))}
    datasets = sorted(set(cells["dataset"]), key=lambda name: order.get(name, len(order)))
    drawn = cells[cells["shots"] > 0]
    return datasets, sorted(set(map(int, drawn["shots"]))), sorted(set(map(int, drawn["seed"]))) or [0]
