"""What it costs a worker to say what it trains, as it trains: a real pack with and without, in turns.

A ratio of two runs drifts by more than the two percent allowed, so the reporting's own CPU time is counted too.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from rich.console import Console

from benchmarks.machinery import REPOSITORY
from benchmarks.measuring import Row, Run, duration, ratio
from dualpt.core.running.cell_runner import CellRunner
from dualpt.core.training.progress import Progress, Report
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.dispatch.work_units import Pack
from dualpt.sweeps.launching.before_training import draw_mini_datasets
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.records import TrialCell
from dualpt.sweeps.workers.connection.ray_session import ray_session
from dualpt.sweeps.workers.listening import Listener, send_note
from dualpt.sweeps.workers.reporting import UNWATCHED, LiveReporter, Reporter

EPOCHS = 400
"""So a pack outlasts the time after which its curves are written."""


def reporting(run: Run) -> list[Row]:
    """Three seeds of CoOp on mini-pets, their reports over a real Ray, their curves into SQLite."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder, ray_session({}), Listener(lambda reports: None):
        grid = {"datasets": ["mini-pets"], "shots": [4], "seeds": [1, 2, 3]}
        stores = {"tracking_uri": f"sqlite:///{folder}/mlflow.db"}
        epochs = {"optim": {"epochs": 2 if run.quick else EPOCHS}}
        declared = {"name": "bench", "grid": grid, "setting": epochs, "baselines": ["coop"], "run": stores}
        sweep, ledger = check_sweep(declared, source="benchmarks"), Ledger(stores["tracking_uri"])
        draw_mini_datasets(sweep, console=Console(quiet=True))
        (trial,) = plan_sweep(sweep).baselines
        experiment = ledger.experiment("bench")
        ref = ledger.open_trial(
            experiment, ledger.open_sweep(experiment, "bench"), "bench", trial.name, trial.kind, trial.setting
        )
        runner = CellRunner()
        pack = tuple(TrialCell(cell, runner.key(cell), ref) for cell in trial.cells)

        def train(reporter: Reporter) -> None:
            runner.run(trial.cells, reporter.training(pack))

        live = _Timed(1, partial(send_note, 1), ledger.add_points)
        live.start()
        shares: list[float] = []

        def train_live() -> None:
            live.seconds, start = 0.0, time.process_time()
            train(live)
            shares.append(100 * live.seconds / (time.process_time() - start - live.seconds))

        timed = run.side_by_side({"silent": partial(train, UNWATCHED), "reporting": train_live})
        live.close()
    title = "a pack that reports, against a silent one"
    share = replace(
        duration("reporting_share", "CPU time of reporting, beside the training's", shares, "≤ 2 %"), unit="%"
    )
    return [ratio("reporting_ratio", title, timed["reporting"], timed["silent"]), share]


class _Timed(LiveReporter):
    """Counts the CPU seconds of both threads that report: what the training one leaves behind, and what is sent."""

    seconds = 0.0
    _counting = threading.Lock()

    def training(self, pack: Pack) -> Report:
        with self._counted():
            report = super().training(pack)

        def counted(progress: Progress) -> None:
            with self._counted():
                report(progress)

        return counted

    def send_now(self) -> None:
        with self._counted():
            super().send_now()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        start = time.thread_time()
        try:
            yield
        finally:
            with self._counting:
                self.seconds += time.thread_time() - start
