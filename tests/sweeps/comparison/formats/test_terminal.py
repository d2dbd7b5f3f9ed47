"""Tables in terminals of any width: no word is broken, every method is there, and the legend fits both layouts."""

import io

import pytest
from rich.console import Console

from dualpt.core.presets import METHODS
from dualpt.sweeps.comparison.formats.terminal import print_table
from dualpt.sweeps.comparison.labels import AVERAGE, method_title, short_title
from dualpt.sweeps.comparison.tables.table import ComparisonTable, Entry
from tests.sweeps.comparison.formats.test_documents import GROUPS, table
from tests.sweeps.comparison.many_methods import many_methods

NAMES = tuple(METHODS)
DATASETS = tuple(f"dataset-{number}" for number in range(11))


def printed(width: int) -> str:
    columns = (*DATASETS, AVERAGE)
    entries = {(name, column): Entry(61.25, 10.04, 3) for name in NAMES for column in columns}
    table = ComparisonTable("title", "test/accuracy", NAMES, columns, entries, {}, frozenset(), shots=4, seeds=(1, 2))
    console = Console(file=io.StringIO(), width=width)
    print_table(table, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 100, 160, 240])
def test_no_word_is_broken_and_no_method_is_lost(width: int) -> None:
    text = printed(width)
    assert max(len(line) for line in text.splitlines() if not line.startswith("  ")) <= width, "notes stay whole"
    words = set(text.replace("│", " ").replace("┃", " ").split())
    assert {word for name in NAMES for word in short_title(name).split()} <= words or width == 240
    assert set(DATASETS) <= words
    assert text.replace("± ", "±").count("±10.0") == len(NAMES) * (len(DATASETS) + 1)


def test_a_spread_stands_on_its_line_where_there_is_room_and_looks_as_in_documents() -> None:
    """Few methods of many datasets: as columns they fit a terminal in which the datasets wouldn't."""
    columns = (*DATASETS, AVERAGE)
    entries = {(name, column): Entry(61.25, 10.04, 3) for name in NAMES[:3] for column in columns}
    table = ComparisonTable("title", "test/accuracy", NAMES[:3], columns, entries, {}, frozenset(), shots=4, seeds=(1,))
    for width in (100, 160, 240):
        console = Console(file=io.StringIO(), width=width)
        print_table(table, console)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert shown.count("61.2 ± 10.0") == len(entries)
        assert max(map(len, shown.splitlines()[1:-3])) <= width


def test_the_legend_holds_for_methods_as_rows_and_as_columns() -> None:
    for width in (80, 240):
        assert "best method bold, second best underlined" in printed(width)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_every_method_and_entry_is_shown(width: int) -> None:
    text, found = io.StringIO(), table(many_methods("best"))
    print_table(found, Console(file=text, width=width, force_terminal=False))
    shown = text.getvalue()
    assert all(group in " ".join(shown.split()) for group in GROUPS)
    assert "…" not in shown
    if width == 140:
        assert all(method_title(method) in shown for method in found.methods)
    assert all(f"{entry.mean:.1f}" in shown for entry in found.entries.values() if entry is not None)
