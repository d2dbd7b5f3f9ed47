"""A table of text: what statistics, effects and ranks are shown as, in whatever format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlainTable:
    """Rows of text, with the same in full precision for programs."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    records: tuple[Mapping[str, Any], ...]
    """One a row, values unrounded."""
    words: Sequence[str] = ()
    """What can and cannot be claimed."""

    def notes(self) -> list[str]:
        return list(self.words)


def p_text(p: float) -> str:
    """A probability as it is printed: `0.031`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
