"""Tables at any width: every word and number is whole, and each layout is the one that its docstring says."""

import io
import random

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table  # noqa: TID251 (what Rich does is the reason for ours)
from rich.text import Text

from dualpt.sweeps.word_table import MOST_LINES, WordTable, WordText

WIDTHS = [60, 80, 100, 160]
RULES = str.maketrans(dict.fromkeys("│┃┏┳┓┡╇┩└┴┘━─├┼┤", " "))


def printed(table: WordTable, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    table.show(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def words_of(text: str) -> list[str]:
    return text.translate(RULES).replace(": ", " ").replace(":\n", " ").split()


def sweeps() -> WordTable:
    table = WordTable("sweep", "finished", "failed", "pruned trials", "launch", "left", title="sweeps")
    table.add_row("mini-grid-with-vit", "1342", "[red]3[/]", "17", "running", "about 12 min left")
    table.add_row("demo", "66", "0", "", "finished")
    return table


def test_what_fits_has_borders() -> None:
    assert printed(sweeps(), 100) == (
        "sweeps\n"
        "┏━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┓\n"
        "┃ sweep              ┃ finished ┃ failed ┃ pruned trials ┃ launch   ┃ left              ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━┩\n"
        "│ mini-grid-with-vit │ 1342     │ 3      │ 17            │ running  │ about 12 min left │\n"
        "│ demo               │ 66       │ 0      │               │ finished │                   │\n"
        "└────────────────────┴──────────┴────────┴───────────────┴──────────┴───────────────────┘\n"
    )


def test_then_entries_are_wrapped_at_spaces() -> None:
    assert printed(sweeps(), 80).splitlines()[2:7] == [
        "┃                    ┃          ┃        ┃ pruned     ┃          ┃             ┃",
        "┃ sweep              ┃ finished ┃ failed ┃ trials     ┃ launch   ┃ left        ┃",
        "┡━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━━━┩",
        "│ mini-grid-with-vit │ 1342     │ 3      │ 17         │ running  │ about 12    │",
        "│                    │          │        │            │          │ min left    │",
    ]


def test_then_the_last_columns_go_below_their_rows() -> None:
    assert printed(sweeps(), 60) == (
        "sweeps\n"
        "sweep               finished  failed  pruned trials\n"
        "───────────────────────────────────────────────────\n"
        "mini-grid-with-vit  1342      3       17\n"
        "    launch: running    left: about 12 min left\n"
        "demo                66        0\n"
        "    launch: finished\n"
    )


def test_a_long_text_goes_below_its_row_where_it_would_take_many_lines() -> None:
    text = " ".join(["word"] * 60)
    table = WordTable("level", "what")
    table.add_row("fault", text)
    lines = printed(table, 60).splitlines()
    assert lines[:4] == ["level", "    what", "─────", "fault"], "a single head is not said again in each row"
    assert lines[4:] == ["    " + " ".join(["word"] * count) for count in [11] * 5 + [5]]
    assert len(printed(table, 80).splitlines()) <= MOST_LINES + 5


def test_a_word_longer_than_a_line_stays_whole() -> None:
    path = "/data/" + 12 * "of-a-laboratory/"
    table = WordTable("image", "class", title=f"of {path}")
    table.add_row(path, "a [dim]97.1%[/]")
    for line in (path, "    a 97.1%"):
        assert line in printed(table, 60).splitlines()


def test_beside_a_word_longer_than_a_line_the_others_keep_within_it() -> None:
    """The terminal would break them in two where they stick out."""
    path, words = "/data/" + 12 * "of-a-laboratory/", " ".join(["word"] * 30)
    table = WordTable("level", "what", title=f"{words} {path}")
    table.add_row("fault", f"{words} {path} {words}")
    text, out = WordText(Text(f"{words} {path} {words}"), indent=2), io.StringIO()
    Console(file=out, width=60).print(text, crop=False)
    for shown, indent in ((printed(table, 60), 4), (out.getvalue(), 2)):
        assert " " * indent + path in shown.splitlines()
        assert max(len(line) for line in shown.splitlines() if path not in line) <= 60
        assert shown.split().count("word") >= 60


def test_sections_numbers_and_blanks_in_each_layout() -> None:
    table = WordTable("method", look=None)
    table.add_column("accuracy of the mean", right=True)
    table.add_column("note", whole=True)
    table.add_row("CoOp", "61.2")
    table.add_section()
    table.add_row("DuAl-PT", "64.45", "two prompts")
    assert len(table) == 2
    assert [line.rstrip() for line in printed(table, 80).splitlines()] == [
        "method   accuracy of the mean  note",
        "CoOp                     61.2",
        "DuAl-PT                 64.45  two prompts",
    ]
    assert printed(table, 29) == (
        "method   accuracy of the mean\n"
        "    note\n"
        "─────────────────────────────\n"
        "CoOp                     61.2\n"
        "\n"
        "DuAl-PT                 64.45\n"
        "    two prompts\n"
    )
    heads = printed(table, 33).splitlines()[:2]
    assert heads == ["         accuracy of             ", "method      the mean  note       "], "not the whole note"


def test_without_heads_and_without_markup() -> None:
    table, out = WordTable("what", "value", headed=False), io.StringIO()
    table.add_row("classes", "[a] :cat: and " + 20 * "x")
    table.show(Console(file=out, width=20), markup=False)
    assert out.getvalue() == "classes\n    [a] :cat: and\n    " + 20 * "x" + "\n"


def test_it_knows_whether_it_fits_and_stands_in_groups() -> None:
    table = sweeps()
    assert [table.fits(Console(width=width)) for width in (88, 89)] == [False, True]
    assert [table.fits(Console(width=width), wrapped=True) for width in (69, 70)] == [False, True]
    console = Console(file=io.StringIO(), width=60)
    console.print(Group("first", table), crop=False)
    assert console.file.getvalue() == "first\n" + printed(table, 60)  # type: ignore[attr-defined]


def test_a_row_of_too_many_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="2 entries for 1 columns"):
        WordTable("one").add_row("a", "b")
    with pytest.raises(ValueError, match="1 entries for 0 columns"):
        WordTable().add_row("a")


@pytest.mark.parametrize("width", WIDTHS)
def test_no_table_breaks_a_word_or_is_wider_than_the_terminal(width: int) -> None:
    """Of any number of columns, with texts and numbers of any length."""
    dice = random.Random(width)
    for look in (SIMPLE_HEAD, None):
        for _ in range(60):
            columns = dice.randint(1, 14)
            table, expected = WordTable(look=look), []
            for _ in range(columns):
                table.add_column(head := _text(dice, 3), right=dice.random() < 0.5, whole=dice.random() < 0.3)
                expected += head.split()
            for _ in range(dice.randint(1, 5)):
                table.add_row(*(row := [_text(dice, dice.choice([1, 2, 40])) for _ in range(columns)]))
                expected += " ".join(row).split()
            shown = printed(table, width)
            assert set(words_of(shown)) == set(expected)
            assert max(map(len, shown.splitlines())) <= width


def _text(dice: random.Random, most: int) -> str:
    return " ".join("x" * dice.randint(1, 19) + str(dice.random())[:5] for _ in range(dice.randint(1, most)))


def test_rich_s_own_breaks_and_cuts_off() -> None:
    """What ours is for; should this fail, Rich has learned it."""
    table, out = Table("dataset", *map(str, range(12))), io.StringIO()
    table.add_row("Caltech101", *["0.003"] * 12)
    Console(file=out, width=80).print(table)
    assert "Caltech101" not in out.getvalue()
    assert "0.003" not in out.getvalue()
