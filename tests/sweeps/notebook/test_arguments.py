"""Faults that Python raises name its arguments, and leave the options of commands alone."""

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.notebook.arguments import naming_arguments


@naming_arguments
def ask(fault: str, store: str | None = None, mix_selections: bool = False) -> None:
    raise UserError(fault)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no store; name one with --store", "no store; name one with store=…"),
        ("--store: nothing there", "store: nothing there"),
        ("--mix-selections compares them", "mix_selections=True compares them"),
        ("they differ (--mix-selections)", "they differ (mix_selections=True)"),
        ("run `dualpt status --watch`", "run `dualpt status --watch`"),
        ("sweep 'a--store' failed", "sweep 'a--store' failed"),
    ],
)
def test_options_become_the_arguments_of_the_call(fault: str, said: str) -> None:
    with pytest.raises(UserError) as raised:
        ask(fault)
    assert str(raised.value) == said
