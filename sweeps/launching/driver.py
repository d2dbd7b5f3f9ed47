"""The driver of a launch: trains what is missing, waits through outages, keeps its budget, and closes the sweep.

After an outage nothing is repaired: the dispatcher is opened again from the ledger and the study, as a new launch does.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from rich.markup import escape
from tenacity import Retrying, retry_if_exception, wait_exponential

from dualpt.core.cell import Cell
from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import SweepFile
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.ending import INTERRUPTED, command_line
from dualpt.sweeps.launching.steered import Steering
from dualpt.sweeps.ledger.heartbeat import Heartbeat
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.outbox import Outbox
from dualpt.sweeps.stores import absolute_uri, examine, examine_study, is_outage, outage
from dualpt.sweeps.workers.connection.ray_address import LOCAL, ray_address
from dualpt.sweeps.workers.interrupts import PACK_SECONDS, Interrupts

if TYPE_CHECKING:
    from dualpt.core.running.cell_runner import CellRunner

PATIENCE = 30.0
"""Seconds for which a call of the ledger is repeated before the sweep counts the store as away."""
LONGEST_WAIT = 30.0
"""Seconds between two looks at a store that is away, at most."""
NAP = 0.2
"""Seconds after which a waiting driver notices Ctrl-C."""


class Driver:
    """Runs one launch of a sweep, from opening the sweep to closing it."""

    def __init__(
        self,
        file: SweepFile,
        open_dispatcher: Callable[[Ledger], Dispatcher],
        make_runner: "Callable[[], CellRunner]",
        heaviest: Sequence[Cell],
        shown: SweepProgress,
    ) -> None:
        """
        Args:
            file: the sweep.
            open_dispatcher: opens the sweep in the ledger and the study, now and again after an outage.
            make_runner: makes a worker's runner; picklable.
            heaviest: the pack that takes the most memory, to be measured where GPU shares are automatic.
            shown: progress.
        """
        self._run, self._stores = file.run, {"run.tracking_uri": absolute_uri(file.run.tracking_uri)}
        if file.search is not None:
            self._stores["run.study_storage"] = absolute_uri(file.run.study_storage)
        self._open_dispatcher, self._make_runner, self._heaviest, self._shown = (
            open_dispatcher,
            make_runner,
            heaviest,
            shown,
        )
        self._uri = self._stores["run.tracking_uri"]
        self._outbox = Outbox(self._uri)
        self._ledger = Ledger(self._uri, patience=PATIENCE)
        self.dispatcher = open_dispatcher(self._ledger)
        self.trained_before = 0
        """Cells trained by this launch before its last outage."""
        self.interrupted = False
        self.spent = False
        """Whether the budget ended the launch."""
        self._ends = None if file.run.max_hours is None else time.monotonic() + 3600 * file.run.max_hours
        self._node: str | None = None
        """Ray's id of this machine, once there is a session."""
        self._resources: dict[str, float] | None = None
        self._settings_per_pack = 1
        self._interrupts = Interrupts(self._drain, self._end_unclosed)
        self._steering = Steering(self._ledger, shown.note)
        self._displaced: str | None = None

    def run(self) -> None:
        """Train until nothing is left, the budget is spent, or a signal or an error ends it; the sweep is closed then.

        Raises:
            UserError: no worker can work, or another launch has taken the sweep over.
        """
        beating = Heartbeat(
            Ledger(self._uri, create=False),
            self.dispatcher.sweep_run,
            self.dispatcher.experiment,
            lambda: self._shown.state,
            self._give_way,
            asked=self._steering.found,
        )
        with beating, self._interrupts, contextlib.ExitStack() as session:  # signals count until Ray is down
            try:
                while not self._whole_round(session):
                    pass
                self.interrupted = self._told_to_end
            except KeyboardInterrupt:
                self.interrupted = True
                self._close(session)
            except Exception:
                self._close(session)
                raise
        if self._displaced is not None:
            raise UserError(self._displaced)

    def _whole_round(self, session: contextlib.ExitStack) -> bool:
        """Train and close; False where a store went away in between and is back."""
        try:
            self._steering.carry_out(self.dispatcher)
            if not self.dispatcher.draining and self.dispatcher.has_work():
                self._train(session)
            if self._displaced is None:
                cut_short = self._told_to_end or self.spent
                self.dispatcher.close(interrupted=cut_short and not self.dispatcher.complete)
            return True
        except Exception as error:
            if not is_outage(error):
                raise
            if self._told_to_end:
                raise KeyboardInterrupt from error
            self._wait_for_stores(error)
            return False

    def _train(self, session: contextlib.ExitStack) -> None:
        """Start Ray, once, and train all that is missing."""
        from dualpt.sweeps.workers.access import prove_a_worker
        from dualpt.sweeps.workers.connection.ray_session import gcs_address, ray_session
        from dualpt.sweeps.workers.connection.ray_watch import RayWatch
        from dualpt.sweeps.workers.gpu_shares import trial_resources
        from dualpt.sweeps.workers.pool import train_all
        from dualpt.sweeps.workers.worker_config import WorkerConfig

        on_a_cluster = ray_address() != LOCAL
        if self._node is None:
            self._shown.step("joining the Ray cluster" if on_a_cluster else "starting Ray")
            self._node = session.enter_context(ray_session(self._stores, self._run.ray_dashboard, self._shown.note))
            session.enter_context(RayWatch(gcs_address(), self._end_without_ray, lambda: bool(self._interrupts)))
        threads = max(1, int(self._run.cpus_per_trial))
        config = WorkerConfig(
            self._make_runner, self._uri, threads, self._node, system_metrics=self._run.system_metrics
        )
        if self._resources is None:
            self._resources, self._settings_per_pack = trial_resources(
                self._run, config, self._heaviest, self.dispatcher.wanted_per_pack, self._shown.note
            )
            if on_a_cluster:
                self._shown.step("asking a worker to record")
                prove_a_worker(config, self._resources, self.dispatcher.sweep_run)
        self.dispatcher.settings_per_pack = self._settings_per_pack
        self._shown.step("starting workers, which load PyTorch and CLIP first")
        train_all(
            self.dispatcher,
            config,
            self._resources,
            outbox=self._outbox,
            ledger=self._ledger,
            max_concurrent=self._run.max_concurrent,
            spent=self._is_spent,
            note=self._shown.note,
            heard=self._shown.hear,
            steer=lambda: self._steering.carry_out(self.dispatcher),
        )

    @property
    def _told_to_end(self) -> bool:
        """Whether a signal came, or a user has stopped the sweep from elsewhere."""
        return bool(self._interrupts) or self._steering.stopped

    def _is_spent(self) -> bool:
        if self._ends is None or time.monotonic() < self._ends:
            return False
        if not self.spent:
            self.spent = True
            self._shown.note(f"the budget of {self._run.max_hours:g} h is spent: finishing the packs in training")
        return True

    def _wait_for_stores(self, error: Exception) -> None:
        """Wait until the stores answer, deliver what was kept, and open the dispatcher again."""
        self.trained_before += self.dispatcher.counts.trained
        reason = escape((outage(error) or "")[:300])
        self._shown.note(f"[yellow]waiting[/]: {reason}; results are kept in {escape(str(self._outbox.folder))}")
        patience = Retrying(
            retry=retry_if_exception(is_outage), wait=wait_exponential(max=LONGEST_WAIT), sleep=self._sleep
        )
        patience(self._come_back)
        self._shown.note("the stores answer again: going on")

    def _come_back(self) -> None:
        examine(self._uri)
        if "run.study_storage" in self._stores:
            examine_study(self._stores["run.study_storage"])
        self.trained_before += len(self._outbox.deliver(self._ledger))
        self.dispatcher = self._open_dispatcher(self._ledger)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._interrupts:
                raise KeyboardInterrupt
            time.sleep(NAP)

    def _drain(self, number: int) -> None:
        if number == signal.SIGINT:
            self._shown.note("finishing the packs in training; press Ctrl-C again to abort them")
        else:
            name = signal.Signals(number).name
            self._shown.note(f"{name}: packs in training may finish within {PACK_SECONDS:g} s, then they are aborted")
        self.dispatcher.draining = True

    def _end_without_ray(self) -> None:
        """Close the sweep and end the process; called in a thread, while the main one may wait for Ray's client.

        That client cannot be interrupted while it waits for a service that is gone, and ends the process after a
        minute with nothing closed.
        """
        self.dispatcher.draining = True
        self._close_sweep()
        self._exit(f"interrupted: Ray is gone; go on with: {command_line()}")

    def _end_unclosed(self) -> None:
        """End the process with the sweep left open, before whoever told it to end kills it; called in a thread."""
        self._exit(f"interrupted, with no time to close the sweep: the next launch does; go on with: {command_line()}")

    def _exit(self, reason: str) -> NoReturn:
        self._shown.stop()
        self._shown.note(escape(reason))
        sys.stdout.flush()
        os._exit(INTERRUPTED)

    def _give_way(self, reason: str) -> None:
        self._displaced = reason
        self.dispatcher.draining = True

    def _close(self, session: contextlib.ExitStack) -> None:
        """End a launch early: workers first, so none records a cell in a sweep that is closed."""
        session.close()
        self._close_sweep()

    def _close_sweep(self) -> None:
        if self._displaced is not None:
            return
        try:
            self.dispatcher.close(interrupted=True)
        except Exception as error:
            if not is_outage(error):
                raise
            self._shown.note("the stores are still away: the next launch closes what this one leaves open")
