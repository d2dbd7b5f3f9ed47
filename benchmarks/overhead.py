"""What a sweep costs beside its training: time a trial and the driver's memory, with a trainer that takes no time.

    python -m benchmarks.overhead --trials 2000

Every trial is one cell of a random setting, so each pays for a proposal, a trial's run, a cell's run, and the way
of a work unit to a worker and back. Ray, MLflow on SQLite and Optuna on SQLite are the real ones. On a shared machine
the CPU times say more than the wall time.
"""

import argparse
import json
import os
import resource
import sqlite3
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.instant_runner import InstantRunner, instant_key
from benchmarks.processes import cpu_of_descendants, resident_mib
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.launching.launch import launch

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Look:
    """What was found at one moment."""

    judged: int
    """Trials that the study knows as complete."""
    seconds: float
    driver_seconds: float
    """CPU time of this process."""
    others_seconds: float
    """CPU time of the processes that descend from it and live: workers and Ray's own."""
    driver_mib: float


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
    """Run the sweep, and look at it once a second.

    What a trial costs is told from the last three quarters of them: the first pay for the start of Ray and MLflow, and
    what follows the last reads results for the closing table.
    """
    declared = {
        "name": "overhead",
        "grid": {"datasets": ["mini-pets"], "shots": [4], "seeds": [1]},
        "search": {"trials": trials, "sampler": sampler, "space": {"alignment.llm_weight": {"float": [0.1, 10]}}},
        "run": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "study_storage": f"sqlite:///{folder}/optuna.db"},
    }
    over, looks = threading.Event(), [look(folder)]
    started = time.perf_counter()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS) and (found := look(folder)).judged < trials:
            looks.append(found)  # none after the last trial: workers end then, and the closing table is read

    watching = threading.Thread(target=watch, daemon=True)
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
    first = next(found for found in looks if found.judged >= trials / 4)
    last = looks[-1]
    running = last.judged - first.judged
    return {
        "trials": trials,
        "sampler": sampler,
        "cells_trained": outcome.trained,
        "seconds": round(seconds, 1),
        "trials_measured": running,
        "milliseconds_a_trial": round(1000 * (last.seconds - first.seconds) / running, 1),
        "driver_cpu_milliseconds_a_trial": round(1000 * (last.driver_seconds - first.driver_seconds) / running, 1),
        "others_cpu_milliseconds_a_trial": round(1000 * (last.others_seconds - first.others_seconds) / running, 1),
        "driver_mib_before": round(looks[0].driver_mib),
        "driver_mib_at_a_quarter": round(first.driver_mib),
        "driver_kib_left_by_a_trial": round(1024 * (last.driver_mib - first.driver_mib) / running, 1),
        "driver_mib_most": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cpu_cores": os.cpu_count(),
    }


def look(folder: Path) -> Look:
    """The sweep at this moment."""
    others = sum(cpu_of_descendants().values())
    return Look(_judged(folder / "optuna.db"), time.perf_counter(), time.process_time(), others, resident_mib())


def _judged(study: Path) -> int:
    """Complete trials of a study; 0 before it is there."""
    try:
        with sqlite3.connect(f"file:{study}?mode=ro", uri=True) as connection:
            return int(connection.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


if __name__ == "__main__":
    main()
