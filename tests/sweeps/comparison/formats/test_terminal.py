"""Twenty methods in terminals of two widths."""

import io

import pytest
from rich.console import Console

from dualpt.sweeps.comparison.formats.terminal import print_table
from dualpt.sweeps.comparison.labels import method_title
from tests.sweeps.comparison.formats.test_documents import GROUPS, table
from tests.sweeps.comparison.many_methods import many_methods


@pytest.mark.parametrize("width", [60, 80, 140])
def test_every_method_and_entry_is_shown(width: int) -> None:
    text, found = io.StringIO(), table(many_methods("best"))
    print_table(found, Console(file=text, width=width, force_terminal=False))
    shown = text.getvalue()
    assert all(group in shown for group in GROUPS)
    assert "…" not in shown
    if width == 140:
        assert all(method_title(method) in shown for method in found.methods)
    assert all(f"{entry.mean:.1f}" in shown for entry in found.entries.values() if entry is not None)
