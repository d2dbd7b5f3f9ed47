"""The command that continues a launch is one that can be typed."""

import sys

import pytest

from dualpt.sweeps.launching.ending import command_line


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/venv/bin/dualpt", "dualpt sweep mini-grid 'seeds=[1, 2]'"),
        ("/repository/dualpt/__main__.py", "python -m dualpt sweep mini-grid 'seeds=[1, 2]'"),
    ],
)
def test_a_launch_is_continued_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, program: str, said: str) -> None:
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.setattr(sys, "argv", [program, "sweep", "mini-grid", "seeds=[1, 2]"])
    assert command_line() == said
