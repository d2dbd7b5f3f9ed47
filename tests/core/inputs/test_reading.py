"""Datasets are found once at each door, and what follows gets them passed on."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from dualpt.core.cell import Cell
from dualpt.core.inputs import reading
from dualpt.core.presets import method_setting
from dualpt.core.running.cell_runner import CellRunner


def test_a_dataset_is_found_once_at_each_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: Counter[str] = Counter()
    look_up = reading.dataset_info

    def counted(name: str, root: Path | None = None) -> object:
        found[name] += 1
        return look_up(name, root)

    monkeypatch.setattr(reading, "dataset_info", counted)
    torch.set_num_threads(1)
    setting = method_setting("dualpt", {"optim.epochs": 1, "prompt.context_length": 4})
    cell = Cell(setting, "mini-pets", "cross-dataset", 1, 1, ("mini-tiles",))
    runner = CellRunner(cache=tmp_path / "store", device="cpu")
    runner.prepare([cell])  # draws the mini datasets that are missing, then asks which features are
    assert found == {"mini-pets": 2, "mini-tiles": 2}
    for door in (lambda: runner.check([cell]), lambda: runner.key(cell), lambda: runner.run([cell])):
        found.clear()
        door()
        assert found == {"mini-pets": 1, "mini-tiles": 1}
