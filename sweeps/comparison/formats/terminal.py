"""How tables look in a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from dualpt.sweeps.comparison.labels import AVERAGE, method_title, short_title
from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.tables.table import ComparisonTable
from dualpt.sweeps.console import say
from dualpt.sweeps.word_table import WordTable

WIDEST_ENTRY = len("100.0 ± 10.0") + 3
"""Characters that an entry and its border take."""
MARKS = {1: "[bold green]{}[/]", 2: "[underline]{}[/]", None: "{}"}


def print_table(table: ComparisonTable, console: Console) -> None:
    """Print the table; where it doesn't fit the terminal, methods become columns, and each group has tables of its own;
    where these don't fit either, spreads become a second line."""
    by_method = _by_method(table)
    roomy = len(table.columns) * WIDEST_ENTRY + 34 <= console.width
    if roomy and by_method.fits(console, wrapped=True):
        by_method.show(console)
    else:
        wide = [_by_column(table, methods, narrow=False) for _, methods in table.sections]
        all_wide = all(block.fits(console) for block in wide)
        for whole, (group, methods) in zip(wide, table.sections, strict=True):
            title = f"{table.title}: {group}" if group else table.title
            console.print(escape(title), style="table.title", highlight=False)  # a narrow table's own would be wrapped
            for block in [whole] if all_wide else _blocks(table, methods, console):
                block.show(console)
    print_notes(table.notes(), console)


def print_plain(table: PlainTable, console: Console) -> None:
    """Print a table of text and what it says in words."""
    grid = WordTable(title=table.title)
    for place, head in enumerate(table.head):
        grid.add_column(head, right=place > 0)
    for row in table.rows:
        grid.add_row(*row)
    grid.show(console, markup=False)
    print_notes(table.notes(), console)


def print_notes(notes: list[str], console: Console) -> None:
    for note in notes:
        say(console, note, "dim")


def _by_method(table: ComparisonTable) -> WordTable:
    grid = WordTable("method", title=escape(table.title))
    for column in table.columns:
        grid.add_column(escape(table.head(column)), right=True, whole=True)
    for title, methods in table.sections:
        if title:
            grid.add_section()
            grid.add_row(f"[italic]{escape(title)}[/]")
        for method in methods:
            grid.add_row(
                escape(method_title(method)), *[_entry(table, method, column, " ") for column in table.columns]
            )
    return grid


def _blocks(table: ComparisonTable, methods: Sequence[str], console: Console) -> list[WordTable]:
    """Methods as columns, in as few blocks as fit the terminal without breaking a word."""
    for size in range(len(methods), 1, -1):
        chunks = [methods[start : start + size] for start in range(0, len(methods), size)]
        blocks = [_by_column(table, chunk) for chunk in chunks]
        if all(block.fits(console) for block in blocks):
            return blocks
    return [_by_column(table, [method]) for method in methods]


def _by_column(table: ComparisonTable, methods: Sequence[str], *, narrow: bool = True) -> WordTable:
    grid = WordTable("", padding=0) if narrow else WordTable("")
    for method in methods:
        words = short_title(method).split()  # one below another: a column that could be narrower has its words broken
        grid.add_column(
            escape("\n".join(words)) if narrow else escape(method_title(method)), right=True, whole=not narrow
        )
    between = "\n" if narrow else " "
    for column in table.columns:
        if column == AVERAGE:
            grid.add_section()
        grid.add_row(escape(table.head(column)), *[_entry(table, method, column, between) for method in methods])
    return grid


def _entry(table: ComparisonTable, method: str, column: str, separator: str) -> str:
    """Mean, and its spread behind `separator`; the best and second best of a column stand out."""
    mean, _, spread = table.text(method, column).partition(" ± ")
    marked = MARKS[table.place(method, column)].format(escape(mean))
    sign = "±" if separator == "\n" else "± "  # a line of its own in a narrow column has no room for a space
    return f"{marked}{separator}[dim]{sign}{spread}[/]" if spread else marked
