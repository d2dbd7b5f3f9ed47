"""What ten draws cost beside three, trained as replicas of the same steps: CPU seconds, start-up and features apart.

    python -m benchmarks.ten_draws                   about two minutes

Each is measured twice, in turns, and the faster of the two counts.
"""

import time
from collections.abc import Sequence

from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.core.running.cell_runner import CellRunner
from dualpt.core.seeds import parse_seeds
from dualpt.sweeps.tools.train import cells_for

METHODS, DATASET, SHOTS, ROUNDS = ("coop", "dualpt", "tip-adapter"), "mini-tiles", 16, 2


def main() -> None:
    console = Console()
    for method in METHODS:
        three, ten = (
            cells_for(DATASET, SHOTS, parse_seeds(f"draws({count})"), method, "few-shot", None, {}) for count in (3, 10)
        )
        runner = CellRunner()
        runner.parts.prepare_data(ten)
        runner.prepare(ten)
        seconds = [(cpu_seconds(runner, three), cpu_seconds(runner, ten)) for _ in range(ROUNDS)]
        least = [min(column) for column in zip(*seconds, strict=True)]
        shown = f"three draws {least[0]:.1f} s, ten draws {least[1]:.1f} s: {least[1] / least[0]:.2f} times"
        console.print(f"  {method}: {shown}", highlight=False)


def cpu_seconds(runner: CellRunner, cells: Sequence[Cell]) -> float:
    before = time.process_time()
    runner.run(cells)
    return time.process_time() - before


if __name__ == "__main__":
    main()
