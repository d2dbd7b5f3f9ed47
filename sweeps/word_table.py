"""Tables and texts for a terminal of any width, in which no word and no number is broken or cut off.

Rich's own table makes columns narrower than their longest word, and breaks or cuts off what then doesn't fit: it prints
`Caltech1` above `01`, and `0.00` above `3`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.box import HEAVY_HEAD, Box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table  # noqa: TID251 (it draws what has its widths)
from rich.text import Text

MOST_LINES = 6
"""About as many lines as an entry is wrapped into: one that takes more is easier to read below its row."""
GAP = 2
ITEM_GAP = 3
INDENT = 4
"""Blanks between columns that stay, between what goes below them, and before that."""

Line = tuple[Text, ...]
"""One text per column."""


@dataclass(frozen=True)
class _Column:
    head: str
    right: bool
    whole: bool


class _Width(NamedTuple):
    """Characters of a column without its padding: the fewest that break no word, and its longest line's."""

    least: int
    natural: int


class WordTable:
    """A table that Rich prints. Heads, entries and the title are markup, as Rich's are.

    Where it is wider than the terminal, the first of these is done that fits:

    1. Entries are wrapped at spaces, those of the widest columns first. No column gets narrower than its longest word,
       and no entry takes more than about `MOST_LINES` lines.
    2. As many of the first columns as fit unwrapped stay, and the entries of the others go into lines below their row,
       each after its head (which a single one leaves at the top), short ones below one another. So a row stays in one
       piece, which it doesn't in a table that is continued below itself, and every number has its name beside it, which
       it hasn't where a terminal wraps lines.

    A word that is longer than a line sticks out: the terminal breaks it, and copies it whole. Print it with `show`, or
    what holds it with `crop=False`: Rich cuts lines off otherwise.

    Args:
        heads: of the first columns, as `add_column` adds them.
        title: stands above it, at the left.
        look: Rich's box; None for no lines.
        headed: whether heads are shown above columns.
        padding: blanks on each side of an entry.
    """

    def __init__(
        self, *heads: str, title: str = "", look: Box | None = HEAVY_HEAD, headed: bool = True, padding: int = 1
    ) -> None:
        self._title = title
        self._look = look
        self._headed = headed
        self._padding = padding
        self._columns: list[_Column] = []
        self._rows: list[tuple[str, ...]] = []
        self._section_ends: set[int] = set()
        for head in heads:
            self.add_column(head)

    def __len__(self) -> int:
        return len(self._rows)

    def add_column(self, head: str, *, right: bool = False, whole: bool = False) -> None:
        """Add a column.

        Args:
            head: what stands above it.
            right: entries stand at its right, as numbers do.
            whole: its entries aren't wrapped at spaces either.
        """
        self._columns.append(_Column(head, right, whole))

    def add_row(self, *entries: str) -> None:
        """Add a row; columns that have no entry are blank.

        Raises:
            ValueError: there are more entries than columns.
        """
        blank = len(self._columns) - len(entries)
        if blank < 0:
            raise ValueError(f"{len(entries)} entries for {len(self._columns)} columns")
        self._rows.append((*entries, *[""] * blank))

    def add_section(self) -> None:
        """Set the rows that follow apart from those that are there."""
        self._section_ends.add(len(self._rows))

    def show(self, console: Console, *, markup: bool | None = None) -> None:
        """Print it, words that are longer than a line as well."""
        console.print(self, markup=markup, crop=False)

    def fits(self, console: Console, *, wrapped: bool = False) -> bool:
        """Whether the terminal is as wide as the table; `wrapped`: as the table whose entries are wrapped at spaces."""
        size = Measurement.get(console, console.options.update(max_width=_ANY), self)
        return (size.minimum if wrapped else size.maximum) <= console.width

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widths = self._widths(self._lines(console, options.markup))
        return Measurement(*(sum(of_columns) + self._frame for of_columns in zip(*widths, strict=True)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = self._lines(console, options.markup)
        if self._title:
            title = console.render_str(self._title, style="table.title", markup=options.markup, highlight=False)
            yield from _wrapped(title, options.max_width)
        widths = _narrowed(self._widths(lines), options.max_width - self._frame)
        if widths is None:
            yield from self._with_lines_below(lines, options.max_width)
        else:
            table = self._drawn(lines, widths)
            yield from console.render(table, options.update(max_width=sum(widths) + self._frame))

    def _lines(self, console: Console, markup: bool | None) -> list[Line]:
        """The heads, and then the rows, as Rich's texts."""

        def texts(line: Iterable[str]) -> Line:
            return tuple(console.render_str(text, emoji=False, markup=markup, highlight=False) for text in line)

        return [texts(column.head for column in self._columns), *map(texts, self._rows)]

    @property
    def _frame(self) -> int:
        """Characters of a line that belong to no entry."""
        borders = 0 if self._look is None else len(self._columns) + 1
        return borders + 2 * self._padding * (len(self._columns) - (not self._padded_edge))

    @property
    def _padded_edge(self) -> bool:
        """Blanks at the edge of the table keep entries away from a border that can be seen."""
        return self._look is not None and not self._look.head_left.isspace()

    def _widths(self, lines: Sequence[Line]) -> list[_Width]:
        widths = []
        for column, (head, *entries) in zip(self._columns, zip(*lines, strict=True), strict=True):
            shown = [head, *entries] if self._headed else entries
            natural = max(1, *map(_length, shown))
            least = max(1, -(-natural // MOST_LINES), *map(_longest_word, shown))
            widths.append(_Width(max(least, *map(_length, entries)) if column.whole and entries else least, natural))
        return widths

    def _drawn(self, lines: Sequence[Line], widths: Sequence[int]) -> Table:
        """Rich's table with columns of the given widths."""
        table = Table(
            box=self._look,
            show_header=self._headed,
            header_style="bold",
            pad_edge=self._padded_edge,
            padding=(0, self._padding),
        )
        heads, *rows = lines
        for column, head, width in zip(self._columns, heads, widths, strict=True):
            table.add_column(head, justify="right" if column.right else "left", width=width)
        for number, row in enumerate(rows):
            if number in self._section_ends:
                table.add_section()
            table.add_row(*row)
        return table

    def _with_lines_below(self, lines: Sequence[Line], room: int) -> Iterator[Text]:
        """As many columns as fit, and the others' entries below each row."""
        heads, *rows = [tuple(map(_on_one_line, line)) for line in lines]
        widths = [width.natural for width in self._widths([heads, *rows])]
        kept = max(1, sum(sum(widths[:n]) + GAP * (n - 1) <= room for n in range(1, len(widths) + 1)))
        stay = self._columns[:kept], [min(width, room) for width in widths[:kept]]
        names = heads if self._headed and len(heads) > kept + 1 else (Text(),) * len(heads)
        if self._headed and any(heads):
            yield from _wrapped(_side_by_side(heads, *stay, style="bold"), room)
            if not any(names):
                yield from _wrapped(Text.assemble(*heads[kept:], style="bold"), room, indent=INDENT)
            yield Text("─" * min(room, sum(widths[:kept]) + GAP * (kept - 1)))
        for number, row in enumerate(rows):
            if number in self._section_ends:
                yield Text()
            yield from _wrapped(_side_by_side(row, *stay), room)
            yield from _below(names[kept:], row[kept:], widths[kept:], room)


class WordText:
    """A text that Rich prints with its indent before every line, broken at spaces alone: print it with `crop=False`.

    Args:
        text: lines of it stay lines; its end is stripped.
        indent: blanks.
    """

    def __init__(self, text: Text, indent: int) -> None:
        self._text = text
        self._indent = indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return _wrapped(self._text, options.max_width, indent=self._indent)


_ANY = 100_000
"""Columns of a terminal that any table fits."""


def _length(text: Text) -> int:
    """Of its longest line, in characters of a terminal."""
    return max(map(cell_len, text.plain.splitlines()), default=0)


def _longest_word(text: Text) -> int:
    return max(map(cell_len, text.plain.split()), default=0)


def _narrowed(widths: Sequence[_Width], room: int) -> list[int] | None:
    """Widths that add up to what there is room for, taken from the widest columns first; None if words forbid it."""
    found = [width.natural for width in widths]
    for _ in range(sum(found) - room):
        wider = [place for place, width in enumerate(widths) if found[place] > width.least]
        if not wider:
            return None
        found[max(wider, key=lambda place: found[place])] -= 1
    return found


def _on_one_line(text: Text) -> Text:
    return Text(" ").join(text.split())


def _side_by_side(line: Line, columns: Sequence[_Column], widths: Sequence[int], style: str = "") -> Text:
    """Entries of the columns at their places; the last may be left short."""
    shown = Text(style=style)
    for text, column, width in zip(line, columns, widths, strict=False):
        blank = " " * (width - _length(text))
        shown.append(" " * GAP if shown else "")
        shown.append_text(Text.assemble(blank, text) if column.right else Text.assemble(text, blank))
    return shown


def _below(heads: Line, entries: Line, widths: Sequence[int], room: int) -> Iterator[Text]:
    """Lines of `head: entry`, each at the same place below every row; without those that are blank."""
    line, used = Text(), 0
    for head, entry, width in zip(heads, entries, widths, strict=True):
        name = Text.assemble(head, ": ") if head else head
        slot = _length(name) + width
        if used and used + ITEM_GAP + slot > room - INDENT:
            yield from _wrapped(line, room, indent=INDENT)
            line, used = Text(), 0
        line.append(" " * (used + ITEM_GAP - cell_len(line.plain)) if used else "")
        used += slot + (ITEM_GAP if used else 0)
        if entry:
            line.append_text(Text.assemble(name, entry))
    yield from _wrapped(line, room, indent=INDENT)


def _wrapped(text: Text, room: int, *, indent: int = 0) -> Iterator[Text]:
    """Its lines, broken at spaces alone; none where it is blank. Only a word that is longer than a line sticks out."""
    text.rstrip()
    for whole in text.split(allow_blank=True) if text else ():
        whole.expand_tabs()
        for line in whole.divide(_line_starts(whole.plain, room - indent)):
            line.rstrip()
            line.pad_left(indent)
            line.no_wrap, line.overflow = True, "ignore"
            yield line


def _line_starts(text: str, room: int) -> list[int]:
    """Where lines begin that a text is broken into, the first left out."""
    starts, used = [], 0
    for word in re.finditer(r"\s*\S+\s*", text):
        if used and used + cell_len(word[0].rstrip()) > room:
            starts.append(word.start())
            used = 0
        used += cell_len(word[0])
    return starts
