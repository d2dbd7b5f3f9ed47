"""A runner whose numbers follow from the setting at once, to test the engine alone; workers import it by name."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dualpt.core.cell import Cell
from dualpt.core.config.activity import active_values
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.results import CellMetrics
from dualpt.core.training.progress import Progress, Report
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.planning.data_notes import DataNotes
from dualpt.sweeps.planning.plan import SweepPlan

FATAL_WEIGHT = 13.0
"""A setting with this `alignment.llm_weight` raises; the next larger whole number kills its process."""


@dataclass(frozen=True)
class FakeResult:
    """Stands for `dualpt.core.running.cell_runner.CellResult`, which would load torch."""

    cell: Cell
    key: str
    metrics: CellMetrics
    per_class: dict[str, dict[str, float]]
    loss_curve: tuple[float, ...] = (2.0, 1.0, 0.5)
    prompts: None = None
    learned: None = None
    provenance: None = None
    sample_fingerprint: str | None = None
    failure: str | None = None


def fake_key(cell: Cell) -> str:
    return fingerprint([active_values(cell.setting), cell.dataset, cell.protocol, cell.shots, cell.seed, cell.targets])


def no_notes(sweep: LoadedSweep, plan: SweepPlan) -> DataNotes:
    """Stands for `dualpt.sweeps.planning.data_notes`, which would read the data."""
    return DataNotes()


def ends_of(log: Path) -> Path:
    """Where the cells are noted that were trained to their end; `log` has all that were begun."""
    return log.with_suffix(".ends")


def ended(log: Path) -> list[str]:
    """Keys of the cells that were trained to their end, in that order."""
    return ends_of(log).read_text().split() if ends_of(log).exists() else []


class FakeRunner:
    """Validation accuracy is best at `alignment.llm_weight` 4; test accuracy is best where validation is worst."""

    def __init__(self, log: Path, seconds: float = 0.0) -> None:
        self._log, self._seconds = log, seconds

    def check(self, cells: Sequence[Cell]) -> None:
        pass

    def prepare(self, cells: Sequence[Cell], progress: Callable[[int, int, str], None] | None = None) -> None:
        pass

    def run(
        self, cells: Sequence[Cell], report: Report | None = None, checkpoint: Path | None = None
    ) -> list[FakeResult]:
        for cell in cells:
            with self._log.open("a") as log:  # one short line: appended whole, whichever process writes
                log.write(f"{fake_key(cell)} {len(cells)} {os.getpid()}\n")
        if report is not None:
            report(Progress(2, 3, (1.0,) * len(cells)))
        time.sleep(self._seconds)
        with ends_of(self._log).open("a") as log:
            log.writelines(f"{fake_key(cell)}\n" for cell in cells)
        weights = {cell.setting.alignment.llm_weight for cell in cells}
        if FATAL_WEIGHT in weights:
            raise RuntimeError("no such weight")
        if FATAL_WEIGHT + 1 in weights:
            os._exit(1)
        return [self._result(cell) for cell in cells]

    def _result(self, cell: Cell) -> FakeResult:
        distance = abs(cell.setting.alignment.llm_weight - 4)
        validation = 90 - distance - 10 / (cell.shots or 1) + 0.01 * cell.seed
        trains = cell.setting.method == "prompt"
        metrics = CellMetrics.model_validate(
            {
                "val/accuracy": validation if trains else None,
                "test/accuracy": 50 + distance,
                "train/seconds": 0.1,
                "targets": {name: 30.0 + place for place, name in enumerate(cell.targets)},
            }
        )
        failure = "loss is not finite" if cell.setting.alignment.llm_weight == FATAL_WEIGHT + 2 else None
        drawn = f"{cell.seed:064d}"[::-1]  # the first digits name the draw where room is short
        return FakeResult(
            cell, fake_key(cell), metrics, {"test": {"a": 1.0}}, sample_fingerprint=drawn, failure=failure
        )


def fake_runner(log: Path, seconds: float = 0.0) -> Callable[[], FakeRunner]:
    """A picklable maker of runners that note every trained cell in `log`."""
    return partial(FakeRunner, log, seconds)


def heard_of(log: Path) -> Path:
    """A file that lets `heard_runner`s go on."""
    return log.with_suffix(".heard")


class HeardRunner(FakeRunner):
    """Reports an epoch, and trains on when somebody has heard of it."""

    def run(
        self, cells: Sequence[Cell], report: Report | None = None, checkpoint: Path | None = None
    ) -> list[FakeResult]:
        assert report is not None
        report(Progress(2, 3, (1.0,) * len(cells)))
        while not heard_of(self._log).exists():
            time.sleep(0.05)
        return super().run(cells, None, checkpoint)


def heard_runner(log: Path) -> Callable[[], HeardRunner]:
    """A picklable maker of runners that wait until they are heard."""
    return partial(HeardRunner, log)


def runner_only_here(log: Path) -> Callable[[], FakeRunner]:
    """A maker that fails in every other process."""
    return partial(_runner_in, os.getpid(), log)


def _runner_in(process: int, log: Path) -> FakeRunner:
    if os.getpid() != process:
        raise RuntimeError("no such device")
    return FakeRunner(log)


def slow_starters(log: Path, seconds: float, starting: float) -> Callable[[], FakeRunner]:
    """A maker of runners that the driver and the first worker make at once, and other workers in `starting` seconds."""
    return partial(_slowly_made, log, seconds, starting)


def starts_of(log: Path) -> list[str]:
    """Processes that have begun to make a runner of `slow_starters`, in that order."""
    return log.with_suffix(".starts").read_text().split()


def _slowly_made(log: Path, seconds: float, starting: float) -> FakeRunner:
    starts = log.with_suffix(".starts")
    with starts.open("a") as noted:
        noted.write(f"{os.getpid()}\n")
    if str(os.getpid()) not in starts_of(log)[:2]:
        time.sleep(starting)
    return FakeRunner(log, seconds)
