"""What dealing and recording take: a cell of a pack, and a trial of one cell, in one process and without Ray.

The dispatcher deals, an instant trainer answers, MLflow on SQLite records and Optuna on SQLite proposes.
"""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from benchmarks.instant_runner import InstantRunner, instant_key
from benchmarks.machinery import declared
from benchmarks.measuring import Row, Run, duration
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.declaring import open_dispatcher
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.workers.worker import train_pack

SEEDS, TRIALS = 3, 30
"""66 cells in packs of three; a search of thirty candidates."""


def recording(run: Run) -> list[Row]:
    clock = "" if run.clock == "wall" else " (CPU time)"
    seconds: dict[str, list[float]] = {"cell": [], "trial": []}
    for _ in range(run.repeats):
        for kind, taken in seconds.items():
            taken.append(_seconds(run, kind))
    aims = {"cell": "≤ 0.008 s", "trial": "≤ 0.04 s"}
    titles = {"cell": "a cell of a pack", "trial": "a trial of one cell"}
    return [
        duration(f"recording_{kind}", f"{titles[kind]}{clock}", taken, aims[kind]) for kind, taken in seconds.items()
    ]


def _seconds(run: Run, kind: str) -> float:
    """Seconds a cell, or a trial of one cell."""
    with TemporaryDirectory(prefix="dualpt-recording-") as name:
        folder = Path(name)
        seeds = 1 if run.quick else SEEDS
        sweep = declared(folder, seeds=seeds, shots=[16]) if kind == "cell" else _search(folder, run)
        dispatcher = open_dispatcher(
            sweep, plan_sweep(sweep), [], instant_key, SweepProgress(Console(quiet=True), enabled=False)
        )
        return _train(dispatcher, sweep, time.perf_counter if run.clock == "wall" else time.process_time)


def _search(folder: Path, run: Run) -> LoadedSweep:
    document = {
        "name": "trials",
        "grid": {"datasets": ["mini-pets"], "shots": [4], "seeds": [1]},
        "search": {
            "trials": 3 if run.quick else TRIALS,
            "sampler": "random",
            "space": {"alignment.llm_weight": {"float": [0.1, 10]}},
        },
        "run": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "study_storage": f"sqlite:///{folder}/optuna.db"},
    }
    return check_sweep(document, source="benchmarks")


def _train(dispatcher: Dispatcher, sweep: LoadedSweep, now: Callable[[], float]) -> float:
    ledger, runner, cells, start = Ledger(sweep.file.run.tracking_uri, create=False), InstantRunner(), 0, now()
    while (unit := dispatcher.assign()) is not None:
        for pack in unit.packs:
            outcomes = train_pack(runner, ledger, pack).outcomes  # type: ignore[arg-type]
            dispatcher.receive(unit.number, outcomes)
            cells += len(outcomes)
        dispatcher.end_unit(unit.number)
    return (now() - start) / cells
