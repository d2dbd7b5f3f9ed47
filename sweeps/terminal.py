"""How tables look in a terminal."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from sweeps.tables import AVERAGE, ComparisonTable, column_title, method_title


def print_comparison(table: ComparisonTable, console: Console) -> None:
    """Print the table; datasets become rows where the terminal is too narrow for eleven columns."""
    wide = len(table.columns) * 9 + 34 <= console.width
    grid = _by_method(table) if wide else _by_dataset(table)
    console.print(grid)
    for note in table.notes():
        console.print(f"  {note}", style="dim", highlight=False)


def _shown(table: ComparisonTable, method: str, column: str, spread: bool) -> str:
    entry = table.entries[method, column]
    if entry is None:
        return "–"
    text = str(entry) if spread else f"{entry.mean:.1f}"
    return f"[bold green]{text}[/]" if table.best(column) == method else text


def _by_method(table: ComparisonTable) -> Table:
    grid = Table(title=table.title, title_justify="left", header_style="bold")
    grid.add_column("method", no_wrap=True)
    for column in table.columns:
        grid.add_column(column_title(column), justify="right")
    for method in table.methods:
        shown = [_shown(table, method, column, spread=column == AVERAGE) for column in table.columns]
        grid.add_row(method_title(method), *shown)
    return grid


def _by_dataset(table: ComparisonTable) -> Table:
    grid = Table(title=table.title, title_justify="left", header_style="bold")
    grid.add_column("dataset", no_wrap=True)
    for method in table.methods:
        grid.add_column(method_title(method), justify="right", overflow="fold")
    for column in table.columns:
        if column == AVERAGE:
            grid.add_section()
        grid.add_row(column_title(column), *[_shown(table, m, column, spread=True) for m in table.methods])
    return grid


def print_base_to_new(rows: pd.DataFrame, console: Console) -> None:
    """Print base, new and H of each method that has all datasets."""
    grid = Table(title="base-to-new, averages over datasets", title_justify="left", header_style="bold")
    for column in rows.columns:
        grid.add_column(column, justify="left" if column == "method" else "right")
    for row in rows.itertuples(index=False):
        grid.add_row(row[0], *[f"{value:.1f}" for value in row[1:]])
    console.print(grid)
    console.print("  H: harmonic mean of the averaged base and new accuracies, as the field reports it", style="dim")
