"""How tables look in a terminal."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from sweeps.tables import AVERAGE, ComparisonTable, base_to_new_texts, column_title, method_title, short_title

WIDEST_ENTRY = len("100.0 ± 10.0") + 3
"""Characters that an entry and its border take."""


def print_comparison(table: ComparisonTable, console: Console) -> None:
    """Print the table; methods become columns, and spreads a second line, where the terminal is narrow."""
    wide = len(table.columns) * WIDEST_ENTRY + 34 <= console.width
    console.print(_by_method(table) if wide else _by_dataset(table))
    for note in table.notes():
        console.print(f"  {note}", style="dim", highlight=False)


def _by_method(table: ComparisonTable) -> Table:
    grid = Table(title=table.title, title_justify="left", header_style="bold")
    grid.add_column("method", no_wrap=True)
    for column in table.columns:
        grid.add_column(column_title(column), justify="right")
    for method in table.methods:
        grid.add_row(method_title(method), *[_entry(table, method, column, " ") for column in table.columns])
    return grid


def _by_dataset(table: ComparisonTable) -> Table:
    grid = Table(title=table.title, title_justify="left", header_style="bold", padding=(0, 0))
    grid.add_column("dataset", no_wrap=True)
    for method in table.methods:
        grid.add_column(short_title(method), justify="right")
    for column in table.columns:
        if column == AVERAGE:
            grid.add_section()
        grid.add_row(column_title(column), *[_entry(table, method, column, "\n") for method in table.methods])
    return grid


def _entry(table: ComparisonTable, method: str, column: str, separator: str) -> str:
    """Mean, and its spread behind `separator`; the best mean of a column stands out."""
    entry = table.entries[method, column]
    if entry is None:
        return "–"
    mean = f"[bold green]{entry.mean:.1f}[/]" if table.best(column) == method else f"{entry.mean:.1f}"
    return mean if entry.spread is None else f"{mean}{separator}[dim]±{entry.spread:.1f}[/]"


def print_base_to_new(rows: pd.DataFrame, console: Console) -> None:
    """Print base, new and H of each method that has all cells."""
    grid = Table(title="base-to-new, averages over datasets", title_justify="left", header_style="bold")
    for column in rows.columns:
        grid.add_column(column, justify="left" if column == "method" else "right")
    for row in base_to_new_texts(rows):
        grid.add_row(*row)
    console.print(grid)
    console.print("  H: per seed, of the averaged base and new accuracies, as the field reports it", style="dim")
