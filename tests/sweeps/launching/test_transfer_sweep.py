"""Transfer through the engine: plans and what is recorded; and sweeps over the miniature of the real layouts."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from dualpt.core.data.catalog import MINI_GRID
from dualpt.sweeps.records import grid_metrics
from tests.command_line import answer
from tests.sweeps.running import shown, train_here
from tests.sweeps.small_sweep import Declare


def test_targets_are_recorded_and_averaged(declare: Declare, log: Path) -> None:
    sweep = declare(**{"grid.datasets": ["mini-objects"], "grid.protocol": "cross-dataset"})
    train_here(sweep, log)
    rows = shown(sweep)
    assert rows
    for row in rows:
        accuracies = [row.metrics[f"target/{name}/accuracy"] for name in MINI_GRID[1:]]
        assert row.metrics["target/mean/accuracy"] == pytest.approx(fmean(accuracies))
        assert row.params["data.targets"] == ", ".join(MINI_GRID[1:])
    aggregates = grid_metrics(row for row in rows if row.trial == "coop")
    assert aggregates["grid/mean/target/mini-gadgets/accuracy"] == 30.0
    assert aggregates["grid/mini-objects/target/mean/accuracy"] == pytest.approx(34.5)


def test_other_targets_are_other_cells(declare: Declare, log: Path) -> None:
    grid = {"grid.datasets": ["mini-objects"], "grid.protocol": "cross-dataset", "search": None}
    train_here(declare(**grid, **{"grid.targets": ["mini-pets"]}), log)
    n_first = len(log.read_text().splitlines())
    train_here(declare(**grid, **{"grid.targets": ["mini-pets"]}), log)
    assert len(log.read_text().splitlines()) == n_first
    train_here(declare(**grid, **{"grid.targets": ["mini-pets", "mini-cars"]}), log)
    assert len(log.read_text().splitlines()) == 2 * n_first


REAL = """
name: real
grid: {datasets: [real], shots: [2], seeds: [1]}
setting: {optim: {epochs: 2}}
baselines: [zero-shot, coop]
"""


@pytest.mark.cluster
def test_a_sweep_over_the_real_layouts(
    miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running_ray: None
) -> None:
    """All eleven readers through real Ray and MLflow; the plan of the shipped transfer over the four variants."""
    monkeypatch.chdir(tmp_path)
    Path("real.yaml").write_text(REAL)
    words = ("sweep", "real.yaml", f"data.root={miniature}", "--json")
    assert json.loads(answer((*words, "--dry-run")).out)["missing"] == 22
    assert json.loads(answer(words).out)["trained"] == 22
    (table,) = json.loads(answer(("compare", "real", "--format", "json")).out)["tables"]
    assert table["missing"] == {"zero-shot CLIP": 0, "CoOp": 0}
    # one shot: the miniature has no more images to validate on
    small = ("backbone.name=mini-clip", "backbone.pretrained=null", "backbone.precision=fp32", "shots=[1]")
    for name in ("real-domain-generalization", "real-cross-dataset"):
        plan = json.loads(answer(("sweep", name, f"data.root={miniature}", *small, "--dry-run", "--json")).out)
        assert plan["cells"] == 2 + 6 * 3 + 20 + 3  # baselines, candidates, the selected setting
