"""A cell's key can be had without writing anything, and is the same key."""

from pathlib import Path

from dualpt.core.cell import Cell
from dualpt.core.files.locations import leaving_no_trace
from dualpt.core.inputs.key import cell_key
from dualpt.core.presets import method_setting


def test_a_key_writes_nothing_where_no_trace_may_be_left(private_cache: Path) -> None:
    cell = Cell(method_setting("dualpt"), "mini-tiles", "few-shot", 1, 1)
    with leaving_no_trace():
        key = cell_key(cell)
    assert not private_cache.exists()
    assert cell_key(cell) == key
    assert (private_cache / "mini-grid").exists()
