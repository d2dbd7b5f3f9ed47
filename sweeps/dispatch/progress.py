"""What a running sweep shows: a live bar in a terminal, now and then a plain line elsewhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dualpt.sweeps.console import readable_seconds
from dualpt.sweeps.dispatch.worker_reports import WorkerReport, kept

if TYPE_CHECKING:
    from dualpt.sweeps.dispatch.counts import Counts

PACE_CELLS = 5
"""Trained cells from which a pace is reported: the first ones wait for workers to start."""

LINE_SECONDS = 30.0
"""Least time between two plain lines."""
SHOWN_WORKERS = 4
"""Workers that have a bar each."""
SHOWN_FAILURES = 3
"""Failures reported as they happen; the others are only counted."""


class SweepObserver(Protocol):
    """Hears of what happens in a sweep; `state` is that of `SweepProgress.state`."""

    def failed(self, trial: str, reason: str, state: Mapping[str, Any]) -> None:
        """A cell of a trial has failed."""

    def improved(self, best: tuple[str, float], state: Mapping[str, Any]) -> None:
        """A candidate is better than all before it; of earlier launches, too."""


class SweepProgress:
    """Shows how far a sweep is. As a context manager it owns the bottom lines of the terminal."""

    def __init__(self, console: Console, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            console: where to print.
            enabled: False shows nothing at all.
            clock: seconds that only grow.
        """
        self._console, self._enabled, self._clock = console, enabled, clock
        self._live = enabled and console.is_terminal
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[counted]}", markup=False),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._bar = Progress(*columns, console=console, disable=not self._live, transient=True, refresh_per_second=4)
        self._task: TaskID | None = None
        self._started: tuple[float, int] | None = None
        self._last_line = clock()
        self._last_state: object = None
        self._failures = 0
        self.observers: list[SweepObserver] = []
        """Hear of failures and improvements, whether anything is shown or not."""
        self._state: dict[str, Any] = {}
        self._reports: Sequence[WorkerReport] = ()
        self._rows: dict[int, TaskID] = {}
        """Of workers, by their numbers."""

    @property
    def state(self) -> dict[str, Any]:
        """The last that was shown, for those who look from elsewhere (`dualpt status`)."""
        return {**self._state, "workers": kept(self._reports)} if self._state else {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Give the bottom lines of the terminal back."""
        self._bar.stop()

    def note(self, text: str) -> None:
        """Print one line above the bar."""
        if self._enabled:
            self._console.print(text, highlight=False, soft_wrap=True)

    def step(self, what: str) -> None:
        """Say what is done before there is anything to count: one line, and a bar that moves in a terminal."""
        self.note(f"  [dim]{escape(what)}[/]")
        if self._live:
            if self._task is not None:  # a bar cannot lose its total
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=None, counted="", note="")

    def preparing(self, done: int, total: int, what: str) -> None:
        """Show the preparation of inputs: `done` of `total` pieces of `what`."""
        self._update(f"preparing {what}", done, total, "")

    def failure(self, trial: str, reason: str) -> None:
        """Report that a cell failed."""
        self._failures += 1
        self._state = {**self._state, "failed": self._state.get("failed", 0) + 1} if self._state else {}
        for observer in self.observers:
            observer.failed(trial, reason, self.state)
        if self._failures <= SHOWN_FAILURES:
            self.note(f"[yellow]failed[/] in {escape(trial)}: {escape(reason)}")

    def show(self, counts: "Counts", total: int, running: Sequence[str], best: tuple[str, float] | None) -> None:
        """Show the state of the sweep.

        Args:
            counts: cells by what became of them.
            total: cells of the whole sweep, as far as is known.
            running: names of the trials in training.
            best: name and mean validation accuracy (percent) of the best candidate so far.
        """
        done, before = counts.finished + counts.failed, self._state
        self._state = {
            "cells": total,
            "finished": counts.finished,
            "failed": counts.failed,
            "trained": counts.trained,
            "running": list(running),
            "best": best,
            "seconds_left": (left := self._left(counts.trained, total - done)),
        }
        if best is not None and before and before["best"] != best:
            for observer in self.observers:
                observer.improved(best, self.state)
        parts = [f"{counts.failed} failed"] if counts.failed else []
        parts += [f"{counts.pruned} pruned"] if counts.pruned else []
        parts += [f"best {best[0]} {best[1]:.1f}"] if best else []
        parts += [] if left is None else [f"about {readable_seconds(left)} left"]
        self._update(", ".join(running[:2]) or "cells", done, total, " · ".join(parts))

    def hear(self, reports: Sequence[WorkerReport]) -> None:
        """Take what workers report of the packs in training; may be called in any thread.

        In a terminal each of the first few has a bar of its own, of its epochs.
        """
        self._reports = reports
        if self._live:
            shown = {report.worker: report for report in reports[:SHOWN_WORKERS]}
            for worker in self._rows.keys() - shown.keys():
                self._bar.remove_task(self._rows.pop(worker))
            for worker, report in shown.items():
                if worker not in self._rows:
                    self._rows[worker] = self._bar.add_task("", total=None, counted="", note="")
                self._bar.update(
                    self._rows[worker],
                    description=f"  {report.place}",
                    completed=report.epoch,
                    total=report.epochs or None,
                    counted=report.epochs_text,
                    note=report.loss_text,
                )
        elif reports and reports[0].epochs:  # of a long cell, while nothing else happens
            others = f" · {len(reports) - 1} more" if len(reports) > 1 else ""
            self._plain_line(str(reports[0]), f"training {reports[0]}{others}")

    def _left(self, trained: int, missing: int) -> float | None:
        """Seconds left by the pace of this launch, without the start of its workers; None until it is known."""
        now = self._clock()
        if self._started is None:
            self._started = (now, trained)
        since, before = self._started
        if trained - before < PACE_CELLS or missing <= 0:
            return None
        return (now - since) / (trained - before) * missing

    def _update(self, description: str, done: int, total: int, note: str) -> None:
        if self._live:
            counted = f"{done}/{total}"
            if self._task is None:
                self._task = self._bar.add_task(description, total=total, counted=counted, note=note)
            self._bar.update(
                self._task, description=description, completed=done, total=total, counted=counted, note=note
            )
        else:
            self._plain_line((done, total), f"{done} of {total}  {description}  {note}")

    def _plain_line(self, state: object, line: str) -> None:
        """Print a line where there is no terminal, unless the last one is recent or said the same state."""
        if self._enabled and self._clock() - self._last_line >= LINE_SECONDS and state != self._last_state:
            self._last_line, self._last_state = self._clock(), state
            self._console.print(line.rstrip(), highlight=False, markup=False)
