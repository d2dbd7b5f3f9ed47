"""All ratios, measured side by side in one process.

python -m benchmarks                      every benchmark, about a quarter of an hour on two cores
python -m benchmarks --only replicas      one of them
python -m benchmarks --quick              tiny models: shows that everything runs
python -m benchmarks --markdown           the tables for a page
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.machinery import finished_sweep, help_time, launch_overhead
from benchmarks.measuring import Row, Run
from benchmarks.ratios.packs import packed_cells
from benchmarks.ratios.preparing import prepared_root
from benchmarks.ratios.recording import recording
from benchmarks.ratios.reporting import reporting
from benchmarks.ratios.text_steps import MAIN, MINI, class_lists, positions, text_step
from benchmarks.ratios.training_steps import local_alignment, replicas, training_step
from dualpt.sweeps.word_table import WordTable

RESULTS = Path("build/bench.json")

BENCHMARKS: dict[str, tuple[str, Callable[[Run], list[Row]]]] = {
    "text-step": ("Text step: prompts in a trie against 77 positions per class", text_step),
    "class-lists": ("Text step on the class lists of eleven datasets", class_lists),
    "positions": ("Text step where less is shared, against 77 positions, C = 100", positions),
    "training-step": ("Training step against CoOp's", training_step),
    "local-alignment": (
        "A step with local alignment against one without, N = 4, C = 100, all patches",
        local_alignment,
    ),
    "replicas": ("Replicas against solo steps", replicas),
    "packs": ("Packs of methods on frozen features against one cell at a time", packed_cells),
    "recording": ("Dealing and recording, without training", recording),
    "help": ("Start-up", help_time),
    "launch": ("Overhead of a launch", launch_overhead),
    "reporting": ("A worker that reports while it trains", reporting),
    "finished": ("A finished sweep", finished_sweep),
    "prepare": ("A data root by links against a copy", prepared_root),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="may be given several times")
    parser.add_argument("--quick", action="store_true", help="tiny models, once")
    parser.add_argument("--full", action="store_true", help="all 5,500 cells of `packs`, not the 500 of the default")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: this process's own time, for a busy machine"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    run = Run(repeats=1 if given.quick else given.repeats, quick=given.quick, clock=given.clock, full=given.full)
    console = Console()
    machine = _machine(run)
    console.print(" · ".join(f"{key} {value}" for key, value in machine.items()), highlight=False)
    results = {}
    for name in given.only or BENCHMARKS:
        title, benchmark = BENCHMARKS[name]
        rows = benchmark(run)
        results |= {row.key: {"value": row.value, "low": row.low, "high": row.high, "unit": row.unit} for row in rows}
        if given.markdown:
            print(markdown(title, rows))
        else:
            table(title, rows).show(console)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "results": results}, indent=1, ensure_ascii=False) + "\n")
    console.print(f"wrote {RESULTS}")


def _machine(run: Run) -> dict[str, str]:
    load = os.getloadavg()[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()} with {os.cpu_count()} cores, load {load:.1f}",
        "model": MINI if run.quick else MAIN,
        "threads": str(torch.get_num_threads()),
        "clock": run.clock,
        "repeats": str(run.repeats),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "open_clip_torch", "ray", "mlflow")},
    }


def texts(row: Row) -> tuple[str, str, str, str]:
    spread = "" if row.low == row.high else f"{_figure(row.low)} – {_figure(row.high)}"
    return row.title, f"{_figure(row.value)} {row.unit}".strip(), spread, row.aim


def _figure(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def table(title: str, rows: Sequence[Row]) -> WordTable:
    shown = WordTable("", "measured", "spread", "aim", title=title)
    for row in rows:
        shown.add_row(*texts(row))
    return shown


def markdown(title: str, rows: Sequence[Row]) -> str:
    lines = [("", "measured", "spread", "aim"), ("---",) * 4, *map(texts, rows)]
    return f"### {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
