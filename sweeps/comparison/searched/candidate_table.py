"""Candidates as a table: in a terminal of any width, and for documents."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.text import Text

from dualpt.sweeps.comparison.plain import PlainTable
from dualpt.sweeps.comparison.searched.candidate_ranks import Candidate
from dualpt.sweeps.console import counted
from dualpt.sweeps.word_table import WordTable, WordText

FACTS = ("rank", "trial", "val/accuracy", "cells", "state")
NUMBERS = ("rank", "val/accuracy", "cells")
SHOWN = 10
"""Candidates that a launch and `status` list; `compare --candidates` lists all."""
ACCURACY_NOTE = (
    "validation accuracy in percent, mean ± standard error over a candidate's cells; test accuracy takes no part"
)
RANK_NOTE = "ranked are those judged on every cell"
NOTES = (ACCURACY_NOTE, f"{RANK_NOTE}; a value's blank: it doesn't matter beside the candidate's others")
"""Of a table with a column per key."""


def candidate_table(title: str, candidates: Sequence[Candidate]) -> PlainTable:
    """All candidates with a column per searched key, for documents and programs."""
    keys = _keys(candidates)
    noted = _noted(candidates)
    rows = tuple(
        (*_facts(one), *(_short(one.values.get(key, "")) for key in keys), *([one.note] if noted else []))
        for one in candidates
    )
    return PlainTable(title, (*FACTS, *keys, *noted), rows, tuple(map(record, candidates)), NOTES)


def record(one: Candidate) -> dict[str, Any]:
    """A candidate for programs: unrounded, numbers as numbers."""
    return {
        "rank": one.rank,
        "trial": one.name,
        "val/accuracy": one.value,
        "standard_error": one.standard_error,
        "finished": one.finished,
        "cells": one.cells,
        "state": one.state,
        "values": {key: _number(value) for key, value in one.values.items()},
        "note": one.note,
    }


def candidate_grid(candidates: Sequence[Candidate], console: Console, shown: int | None = SHOWN) -> WordTable | Group:
    """The candidates for a terminal: a column per searched key where that fits, else the values below each.

    Args:
        shown: how many of the best; None is all.
    """
    listed = candidates[:shown]
    keys = _keys(listed)
    short = _last_words(keys)
    for heads in (keys, short):
        grid = _by_key(listed, keys, heads)
        if grid.fits(console):
            return grid
    return _one_below_another(listed, dict(zip(keys, short, strict=True)))


def grid_notes(grid: WordTable | Group) -> list[str]:
    """What a reader must know of `candidate_grid`: values below a candidate leave no blanks."""
    return list(NOTES if isinstance(grid, WordTable) else (ACCURACY_NOTE, f"{RANK_NOTE}, with the values that matter"))


def _by_key(listed: Sequence[Candidate], keys: Sequence[str], heads: Sequence[str]) -> WordTable:
    grid = WordTable(look=box.SIMPLE_HEAD)
    noted = _noted(listed)
    for head in (*FACTS, *heads, *noted):
        grid.add_column(escape(head), right=head in NUMBERS)
    for one in listed:
        values = (_short(one.values.get(key, "")) for key in keys)
        grid.add_row(*map(escape, (*_facts(one), *values, *([one.note] if noted else []))))
    return grid


def _one_below_another(listed: Sequence[Candidate], names: Mapping[str, str]) -> Group:
    """A line of facts per candidate, and below it the values by the names of their keys."""
    rows = [FACTS, *map(_facts, listed)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(FACTS))]

    def line(row: Sequence[str]) -> str:
        parts = zip(FACTS, row, widths, strict=True)
        return "  ".join(text.rjust(width) if head in NUMBERS else text.ljust(width) for head, text, width in parts)

    parts: list[RenderableType] = ["", f"[bold]{line(FACTS)}[/]"]
    for one in listed:
        values = " ".join(f"{names[key]}={_short(value)}" for key, value in one.values.items())
        below = "\n".join(filter(None, (values, one.note)))
        parts += [escape(line(_facts(one))), WordText(Text(below), indent=widths[0] + 2)]
    return Group(*parts, "")


def more_text(name: str, candidates: Sequence[Candidate], shown: int = SHOWN) -> str:
    """Where the candidates are that a table has left out; empty where it has all."""
    left = len(candidates) - shown
    return "" if left <= 0 else f"{counted(left, 'more candidate')}: dualpt compare {name} --candidates"


def winner_lines(candidates: Sequence[Candidate]) -> list[str]:
    """The searched values of what was selected, as they are typed; one line per selected candidate."""
    return [f"{one.name}: {one.words()}" for one in candidates if one.state == "selected"]


def _noted(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """The head of the column of notes, where there is one."""
    return ("note",) if any(one.note for one in candidates) else ()


def _keys(candidates: Sequence[Candidate]) -> list[str]:
    """The searched keys, in the order of the configuration."""
    found = dict.fromkeys(key for one in candidates for key in one.values)
    first = max(candidates, key=lambda one: len(one.values)).values if candidates else {}
    return [*first, *(key for key in found if key not in first)]


def _last_words(keys: Sequence[str]) -> list[str]:
    """Each key's last word, or the key in full where two end in the same."""
    last = [key.rpartition(".")[2] for key in keys]
    return [word if last.count(word) == 1 else key for key, word in zip(keys, last, strict=True)]


def _facts(one: Candidate) -> tuple[str, ...]:
    spread = "" if one.standard_error is None else f" ± {one.standard_error:.1f}"
    value = "–" if one.value is None else f"{one.value:.1f}{spread}"
    rank = "–" if one.rank is None else str(one.rank)
    return (rank, one.name, value, f"{one.finished}/{one.cells}", one.state)


def _number(value: str) -> float | int | str:
    """A number where the text is one that JSON can hold."""
    try:
        found = float(value)
    except ValueError:
        return value
    whole = value.lstrip("+-").isdecimal()
    return int(value) if whole else found if math.isfinite(found) else value


def _short(value: str) -> str:
    """A value with four significant digits."""
    found = _number(value)
    return f"{found:.4g}" if isinstance(found, float) else value
