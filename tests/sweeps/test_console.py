"""Sentences in a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from dualpt.sweeps.console import say

SENTENCE = "validation accuracy in percent, mean ± standard error over [all] of a candidate's cells"


@pytest.mark.parametrize("width", [30, 60, 100])
def test_a_terminal_breaks_sentences_between_words_and_keeps_the_indent(width: int) -> None:
    text = io.StringIO()
    say(Console(file=text, width=width, force_terminal=True, color_system=None), SENTENCE)
    lines = text.getvalue().splitlines()
    assert all(line.startswith("  ") and line[2] != " " and len(line.rstrip()) <= width for line in lines)
    assert " ".join(line.strip() for line in lines) == SENTENCE


def test_elsewhere_it_stays_one_line() -> None:
    text = io.StringIO()
    say(Console(file=text, width=30), SENTENCE)
    assert text.getvalue() == f"  {SENTENCE}\n"
