"""How tables look in a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dualpt.sweeps.comparison.labels import AVERAGE, method_title, short_title
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.tables.table import ComparisonTable
from dualpt.sweeps.console import say

WIDEST_ENTRY = len("100.0 ± 10.0") + 3
"""Characters that an entry and its border take."""
UNBOUNDED = 10_000
"""Columns of a terminal that any table fits."""
MARKS = {1: "[bold green]{}[/]", 2: "[underline]{}[/]", None: "{}"}


def print_table(table: ComparisonTable, console: Console) -> None:
    """Print the table; where the terminal is narrow, methods become columns, spreads a second line, and each group has
    tables of its own."""
    if len(table.columns) * WIDEST_ENTRY + 34 <= console.width:
        console.print(_by_method(table))
    else:
        for group, methods in table.sections:
            title = f"{table.title}: {group}" if group else table.title
            console.print(escape(title), style="table.title", highlight=False)  # a narrow table's own would be wrapped
            for block in _blocks(table, methods, console):
                console.print(block)
    print_notes(table.notes(), console)


def print_plain(table: PlainTable, console: Console) -> None:
    """Print a table of text and what it says in words."""
    grid = Table(title=escape(table.title), title_justify="left", header_style="bold")
    for place, head in enumerate(table.head):
        grid.add_column(escape(head), justify="right" if place else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*map(escape, row))
    console.print(grid)
    print_notes(table.notes(), console)


def print_notes(notes: list[str], console: Console) -> None:
    for note in notes:
        say(console, note, "dim")


def _by_method(table: ComparisonTable) -> Table:
    grid = Table(title=escape(table.title), title_justify="left", header_style="bold")
    grid.add_column("method", overflow="fold")
    for column in table.columns:
        grid.add_column(escape(table.head(column)), justify="right", no_wrap=True)
    for title, methods in table.sections:
        if title:
            grid.add_section()
            grid.add_row(f"[italic]{escape(title)}[/]")
        for method in methods:
            grid.add_row(
                escape(method_title(method)), *[_entry(table, method, column, " ") for column in table.columns]
            )
    return grid


def _blocks(table: ComparisonTable, methods: Sequence[str], console: Console) -> list[Table]:
    """Methods as columns, in as few blocks as fit the terminal without breaking a word."""
    unbounded = console.options.update(max_width=UNBOUNDED)
    for size in range(len(methods), 1, -1):
        chunks = [methods[start : start + size] for start in range(0, len(methods), size)]
        blocks = [_by_column(table, chunk) for chunk in chunks]
        if all(console.measure(block, options=unbounded).maximum <= console.width for block in blocks):
            return blocks
    return [_by_column(table, [method]) for method in methods]


def _by_column(table: ComparisonTable, methods: Sequence[str]) -> Table:
    grid = Table(header_style="bold", padding=(0, 0))
    grid.add_column("", no_wrap=True)
    for method in methods:
        words = short_title(method).split()  # one below another: a column that could be narrower has its words broken
        grid.add_column(escape("\n".join(words)), justify="right")
    for column in table.columns:
        if column == AVERAGE:
            grid.add_section()
        grid.add_row(escape(table.head(column)), *[_entry(table, method, column, "\n") for method in methods])
    return grid


def _entry(table: ComparisonTable, method: str, column: str, separator: str) -> str:
    """Mean, and its spread behind `separator`; the best and second best of a column stand out."""
    mean, _, spread = table.text(method, column).partition(" ± ")
    marked = MARKS[table.place(method, column)].format(escape(mean))
    return f"{marked}{separator}[dim]±{spread}[/]" if spread else marked
