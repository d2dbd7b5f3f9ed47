"""`dualpt compare` and `dualpt status`: from the ledger to what is printed, written or drawn."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from core.data.catalog import MINI_GRID, REAL_GRID
from core.errors import UserError, nearest
from core.results import BASE_ACCURACY, HARMONIC_MEAN, NEW_ACCURACY, TEST_ACCURACY, VAL_ACCURACY
from sweeps.stores import is_new
from sweeps.tables import ComparisonTable, base_to_new_rows, comparable_cells, comparison, to_frame, to_markdown
from sweeps.terminal import print_base_to_new, print_comparison

FORMATS = ("table", "markdown", "csv", "json")
METRICS = (TEST_ACCURACY, BASE_ACCURACY, NEW_ACCURACY, HARMONIC_MEAN, VAL_ACCURACY)


def compare_sweep(
    console: Console,
    name: str,
    *,
    shots: int | None = None,
    metric: str | None = None,
    form: str = "table",
    output: Path | None = None,
    figure: Path | None = None,
    store: str,
) -> None:
    """Print (or write) the comparison table of a sweep, and draw its few-shot curves.

    Raises:
        UserError: no such store, sweep, format, metric or number of shots.
    """
    if form not in FORMATS:
        raise UserError(f"--format: unknown format '{form}'{nearest(form, FORMATS)} (known: {', '.join(FORMATS)})")
    if metric is not None and metric not in METRICS:
        raise UserError(f"--metric: unknown metric '{metric}'{nearest(metric, METRICS)} (known: {', '.join(METRICS)})")
    cells = comparable_cells(read_frame(name, store))
    if cells.empty:
        raise UserError(f"sweep '{name}' has no cell of a baseline or of its selected setting yet (`dualpt status`)")
    datasets, all_shots, seeds = grid_of(cells)
    base_to_new = (cells["protocol"] == "base-to-new").all()
    shots = shots if shots is not None else max(all_shots, default=0)
    table = comparison(
        cells,
        datasets=datasets,
        shots=shots,
        seeds=seeds,
        metric=metric or (HARMONIC_MEAN if base_to_new else TEST_ACCURACY),
    )
    halves = base_to_new_rows(cells, datasets=datasets, shots=shots) if base_to_new else None
    if form == "table" and output is None:
        print_comparison(table, console)
        if halves is not None:
            print_base_to_new(halves, console)
    else:
        _write(_rendered(table, halves, form), output, console)
    if figure is not None:
        from sweeps.figures import few_shot_curves

        path = few_shot_curves(cells, datasets=datasets, shots=all_shots, seeds=seeds, path=figure)
        console.print(f"  figure: {path}", highlight=False)


def _rendered(table: ComparisonTable, halves: pd.DataFrame | None, form: str) -> str:
    if form == "csv":
        return to_frame(table).to_csv(index=False)
    if form == "json":
        rows = json.loads(to_frame(table).to_json(orient="records"))
        document = {"title": table.title, "rows": rows, "missing": table.missing, "notes": table.notes()}
        if halves is not None:
            document["base_to_new"] = json.loads(halves.to_json(orient="records"))
        return json.dumps(document, indent=1)
    text = to_markdown(table)
    return text if halves is None else f"{text}\n\n{_markdown_halves(halves)}"


def _markdown_halves(halves: pd.DataFrame) -> str:
    head = "| " + " | ".join(halves.columns) + " |\n" + "|---" * len(halves.columns) + "|\n"
    rows = [
        f"| {row[0]} | " + " | ".join(f"{value:.1f}" for value in row[1:]) + " |"
        for row in halves.itertuples(index=False)
    ]
    return head + "\n".join(rows)


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


def show_status(console: Console, name: str | None, *, store: str, as_json: bool) -> None:
    """Print, for each sweep, its cells by status.

    Raises:
        UserError: the store does not exist, or holds no such sweep.
    """
    if is_new(store):
        raise UserError(f"{store}: no such tracking store here; run a sweep first, or name one with --store")
    from sweeps.tracking import Ledger

    ledger = Ledger(store)
    names = [name] if name is not None else ledger.sweeps()
    counts = {sweep: Counter(row.status for row in ledger.read_cells(sweep)) for sweep in names}
    if as_json:
        print(json.dumps({sweep: dict(count) for sweep, count in counts.items()}))
        return
    table = Table("sweep", "finished", "failed", "running", "killed", header_style="bold")
    for sweep, count in counts.items():
        table.add_row(sweep, *(str(count[status]) for status in ("FINISHED", "FAILED", "RUNNING", "KILLED")))
    console.print(table)
