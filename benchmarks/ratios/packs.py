"""Packs against one cell at a time: cells a second of ten methods on frozen features, with the features stored.

Every cell is run both ways, in turns, by one runner that has what both need; nothing is extrapolated. Recording is
left out on both sides (`python -m benchmarks --only recording` has it).
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console

from benchmarks.measuring import Row, Run, counted
from dualpt.core.cell import Cell
from dualpt.core.data.catalog import MINI_GRID
from dualpt.core.running.cell_runner import CellRunner
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.before_training import draw_mini_datasets
from dualpt.sweeps.planning.plan import into_packs, plan_sweep
from dualpt.sweeps.records import KeyedCell

METHODS = (
    "nearest-mean",
    "least-squares",
    "tip-adapter",
    "gda",
    "ss-text",
    "linear-probe",
    "clip-adapter",
    "tip-adapter-f",
    "taskres",
    "clap",
)
SHOTS, DRAWS = (1, 2, 4, 8, 16), 10
"""5,500 cells in all: ten methods on eleven datasets."""
SMALL_SHOTS = (4,)
SMALL_DATASETS = MINI_GRID[:5]
"""The size that `make bench` runs: 500 cells."""


def packed_cells(run: Run) -> list[Row]:
    """The ratio over all cells, and of each method."""
    packs = _packs(run)
    runner = CellRunner()
    runner.prepare([cell for pack in packs for cell in pack])
    now = time.perf_counter if run.clock == "wall" else time.process_time
    together: dict[str, float] = defaultdict(float)
    alone: dict[str, float] = defaultdict(float)
    for pack in packs:
        runner.run(pack[:1])  # reads its features and its text, which both ways share
        start = now()
        runner.run(pack)
        between = now()
        for cell in pack:
            runner.run([cell])
        together[pack[0].setting.method] += between - start
        alone[pack[0].setting.method] += now() - between
    cells, ratios = sum(map(len, packs)), {method: alone[method] / together[method] for method in together}
    overall = sum(alone.values()) / sum(together.values())
    return [
        counted("packed_cells_per_second", f"{cells:,} cells in packs", cells / sum(together.values()), "per s"),
        counted("single_cells_per_second", "the same one at a time", cells / sum(alone.values()), "per s"),
        Row(
            "packed_against_single",
            "packs faster by, over all cells (spread: of methods)",
            overall,
            "×",
            min(ratios.values()),
            max(ratios.values()),
            f"≤ {max(map(len, packs))} ×, the cells of a pack",
        ),
        counted("packed_against_single_median", "… the median method", statistics.median(ratios.values()), "×"),
        *(counted(f"packed_{method}", f"… {method}", ratio, "×") for method, ratio in ratios.items()),
    ]


def _packs(run: Run) -> list[Sequence[Cell]]:
    """The cells of a sweep of all methods, by pack."""
    grid = {
        "datasets": ["mini"] if run.full else list(SMALL_DATASETS[: 1 if run.quick else None]),
        "shots": list(SHOTS if run.full else SMALL_SHOTS),
        "seeds": list(range(1, (2 if run.quick else DRAWS) + 1)),
    }
    sweep = check_sweep({"name": "packs", "grid": grid, "baselines": list(METHODS)}, source="benchmarks")
    draw_mini_datasets(sweep, console=Console(quiet=True), progress=False)
    cells = [cell for trial in plan_sweep(sweep).baselines for cell in trial.cells]
    return [[keyed.cell for keyed in pack] for pack in into_packs([KeyedCell(cell, "") for cell in cells])]
