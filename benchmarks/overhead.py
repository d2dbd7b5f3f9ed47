"""What a sweep costs beside its training: seconds a trial and the driver's memory, with a trainer that takes no time.

    python -m benchmarks.overhead --trials 2000

Every trial is one cell of a random setting, so that each pays for a proposal, a trial's run, a cell's run, and the way
of a work unit to a worker and back. Ray, MLflow on SQLite and Optuna on SQLite are the real ones.
"""

import argparse
import json
import os
import resource
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from benchmarks.instant_runner import InstantRunner, instant_key
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.launch import launch

LOOK_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sampler", default="random")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dualpt-overhead-") as folder:
        os.environ["DUALPT_CACHE"] = f"{folder}/cache"
        measured = measure(Path(folder), words.trials, words.sampler)
    print(json.dumps(measured, indent=1))


def measure(folder: Path, trials: int, sampler: str) -> dict[str, object]:
    """Run the sweep; seconds a trial, and the driver's resident memory in MiB.

    What a trial leaves there is told from the last three quarters: Ray and MLflow are loaded in the first.
    """
    declared = {
        "name": "overhead",
        "grid": {"datasets": ["mini-pets"], "shots": [4], "seeds": [1]},
        "search": {"trials": trials, "sampler": sampler, "space": {"alignment.llm_weight": {"float": [0.1, 10]}}},
        "run": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "study_storage": f"sqlite:///{folder}/optuna.db"},
    }
    before, over = resident_mib(), threading.Event()
    curve: list[tuple[float, float]] = []
    started = time.perf_counter()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            curve.append((time.perf_counter() - started, resident_mib()))

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    outcome = launch(
        check_sweep(declared, "overhead"),
        console=Console(),
        runner=InstantRunner,  # type: ignore[arg-type]
        key=instant_key,
    )
    seconds = time.perf_counter() - started
    over.set()
    watching.join()
    quarter = next((mib for at, mib in curve if at >= seconds / 4), before)
    last = curve[-1][1] if curve else before
    return {
        "trials": trials,
        "sampler": sampler,
        "cells_trained": outcome.trained,
        "seconds": round(seconds, 1),
        "milliseconds_a_trial": round(1000 * seconds / trials, 1),
        "driver_mib_before": round(before),
        "driver_mib_at_a_quarter": round(quarter),
        "driver_kib_left_by_a_trial": round(1024 * (last - quarter) / (0.75 * trials), 1),
        "driver_mib_most": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cpu_cores": os.cpu_count(),
    }


def resident_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
