"""A worker says what it trains: to the driver through Ray's control service, and to the ledger as curves that grow.

Both are lossy. The thread that trains leaves a value behind after every epoch, and never waits; another one sends the
last of them, about once a second, and drops what it cannot send.
"""

import contextlib
import math
import socket
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from dualpt.core.training.progress import Progress, Report, is_reported
from dualpt.sweeps.dispatch.work_units import Pack
from dualpt.sweeps.dispatch.worker_reports import WorkerReport
from dualpt.sweeps.ledger.contents import Point
from dualpt.sweeps.workers.gpu_state import Gpu, gpu_here

SEND_SECONDS = 1.0
"""Between two reports to the driver, at least."""
REST_SECONDS = 10.0
"""Between two reports of a pack in which nothing has happened, and two writes to the ledger, at least."""
COST = 0.01
"""The part of the time that writing to the ledger may take: after a slow write the next one waits longer."""
CURVE_POINTS = 100
"""Most points of a curve that grows, as for a recorded one; of a long training, evenly spaced epochs."""

Waiting = dict[str, list[Point]]
"""Points by the run they are to be written on."""


class Reporter(Protocol):
    """What the training of packs tells."""

    def training(self, pack: Pack) -> Report | None:
        """A pack begins; what is returned is called after each of its epochs."""

    def idle(self) -> None:
        """Nothing is trained."""

    def close(self) -> None:
        """Nothing will be told any more."""


class Unwatched:
    """Stands for a reporter where nobody listens."""

    def training(self, pack: Pack) -> Report | None:
        return None

    def idle(self) -> None:
        pass

    def close(self) -> None:
        pass


UNWATCHED = Unwatched()


class LiveReporter:
    """Sends reports from a thread of its own until the process ends or `close` is called."""

    def __init__(
        self,
        worker: int,
        send: Callable[[str], None],
        write: Callable[[str, Sequence[Point]], None],
        system_metrics: bool = False,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            worker: its number.
            send: takes the text of a report for the driver, empty where nothing is trained; may wait and fail.
            write: adds points to a run of the ledger; may wait and fail.
            system_metrics: whether the state of the GPU is written with the curves.
            clock: seconds that only grow.
        """
        self._worker, self._send, self._clock = worker, send, clock
        self._system_metrics = system_metrics
        self._curves = GrowingCurves(write, clock)
        self._report: WorkerReport | None = None
        self._gpu: Gpu | None = None
        self._sent: WorkerReport | None = None
        self._sent_at = -math.inf
        self._beat = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_on, name="dualpt-reports", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread, which is not waited for: it may be in a call that waits."""
        self._over.set()

    def training(self, pack: Pack) -> Report:
        self._gpu = self._gpu or gpu_here()
        first = pack[0]
        begun = WorkerReport(self._worker, socket.gethostname(), first.trial.name, first.cell.dataset, len(pack))
        self._report = begun
        curves = self._curves.of(pack)

        def report(progress: Progress) -> None:
            self._gpu = self._gpu or gpu_here()  # the first epoch of a process has just begun to use it
            self._report = replace(
                begun,
                epoch=progress.epoch,
                epochs=progress.epochs,
                unit=progress.unit,
                loss=_mean_of_finite(progress.loss),
            )
            curves(progress)

        return report

    def idle(self) -> None:
        self._report = None
        self._curves.of(())

    def _send_on(self) -> None:
        while not self._over.wait(SEND_SECONDS):
            with contextlib.suppress(Exception):  # a GPU that cannot be asked, say: nothing depends on it
                self.send_now()

    def send_now(self) -> None:
        """Send what has changed, and what has rested for long; an error loses it."""
        report, now = self._report, self._clock()
        if report is not self._sent or (report is not None and now - self._sent_at >= REST_SECONDS):
            self._sent, self._sent_at = report, now
            with contextlib.suppress(Exception):  # whatever Ray or NVIDIA's library raises: nothing depends on it
                self._send("" if report is None else self._complete(report).text())
        self._curves.write_now(self._gpu_points)

    def _gpu_points(self) -> list[Point]:
        """The state of the GPU as MLflow names system metrics; nothing where there is none, or none is wanted."""
        if not self._system_metrics or self._gpu is None:
            return []
        state, beneath = self._gpu.state(), f"system/worker_{self._worker}/gpu"
        values: dict[str, float] = {}
        if state.used_gib is not None:
            values["memory_usage_megabytes"] = round(state.used_gib * 2**30 / 1e6, 1)
            values["memory_usage_percentage"] = round(100 * state.used_gib / state.total_gib, 1)
        if state.busy is not None:
            values["utilization_percentage"] = state.busy
        return [Point(f"{beneath}_{name}", value, self._beat) for name, value in values.items()]

    def _complete(self, report: WorkerReport) -> WorkerReport:
        self._beat += 1
        return replace(report, beat=self._beat, gpu=None if self._gpu is None else self._gpu.state())


class GrowingCurves:
    """Writes the mean training loss of a pack's cells on the runs of their trials while they train.

    A pack that is over before `REST_SECONDS` writes nothing: its cells are about to be recorded with whole curves.
    """

    def __init__(self, write: Callable[[str, Sequence[Point]], None], clock: Callable[[], float]) -> None:
        """
        Args:
            write: adds points to a run; may wait and fail, which loses them.
            clock: seconds that only grow.
        """
        self._write, self._clock = write, clock
        self._waiting: Waiting = {}
        """Points of the pack in training, by run."""
        self._begun = False
        """Whether any of them have been written."""
        self._left: list[Waiting] = []
        """Last points of packs that are over and whose curves have begun."""
        self._old = self._rested = -math.inf
        """When the pack is old enough, and when the next write may be."""

    def of(self, pack: Pack) -> Report:
        """Begin the curves of a pack."""
        if self._begun:
            self._left.append(self._waiting)
        waiting: Waiting = {}
        self._waiting, self._begun, self._old = waiting, False, self._clock() + REST_SECONDS
        rows: dict[str, list[int]] = {}
        for row, keyed in enumerate(pack):
            rows.setdefault(keyed.trial.run_id, []).append(row)
        name = live_loss(pack[0].cell.dataset, pack[0].cell.shots) if pack else ""

        def report(progress: Progress) -> None:
            if not is_reported(progress.epoch, progress.epochs, CURVE_POINTS):
                return
            for run_id, own in rows.items():
                if (loss := _mean_of_finite([progress.loss[row] for row in own])) is not None:
                    waiting.setdefault(run_id, []).append(Point(name, loss, progress.epoch))

        return report

    def write_now(self, beside: Callable[[], Sequence[Point]] = lambda: ()) -> None:
        """Write what waits, if it is time.

        Args:
            beside: points to be written on each run of the pack in training, asked for when it is time.
        """
        if (started := self._clock()) < self._rested:
            return
        due, self._left = self._left, []
        if started >= self._old and self._waiting:
            self._begun = True
            more = beside()
            due.append({run_id: [*self._waiting.pop(run_id), *more] for run_id in list(self._waiting)})
        for waiting in due:
            for run_id in list(waiting):
                points = waiting.pop(run_id)
                with contextlib.suppress(Exception):  # the store is away, or refuses them: cells are recorded anyway
                    self._write(run_id, points)
        if due:
            ended = self._clock()
            self._rested = ended + max(REST_SECONDS, (ended - started) / COST)


def live_loss(dataset: str, shots: int) -> str:
    """Name of the metric on a trial's run; its step is the epoch."""
    return f"live/{dataset}/{shots}-shot/loss"


def _mean_of_finite(losses: Sequence[float]) -> float | None:
    finite = [loss for loss in losses if math.isfinite(loss)]
    return statistics.fmean(finite) if finite else None
