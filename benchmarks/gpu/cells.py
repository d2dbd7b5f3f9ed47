"""Cells of all eleven shapes from start to record, and what the grid of 165 takes by them.

`dualpt sweep` is launched twice over a data root whose class lists and numbers of images are the real ones
(`shaped_data`), the second time for more epochs. Nothing is left out: interpreters and Ray start, towers load, images
are hashed and encoded, packs are trained, evaluated and checkpointed, cells recorded. Only the number of epochs is
extrapolated: what an epoch takes is the difference of the two launches.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.gpu.shaped_data import PREFIX, SHOTS, TRAIN
from dualpt.core.config.sections import Precision
from dualpt.core.recipes import resolve_recipe
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.records import CellRow

SEEDS = (1, 2, 3)
EPOCHS = (4, 14)
"""Of the two launches. Even at one step per epoch the fourth captures the graph, so that isn't in the difference; ten
more write one checkpoint, as every ten do."""
GRACE_SECONDS = 30.0
"""For a sweep that is told to end: it takes 25 s at most (`dualpt.sweeps.workers.interrupts`)."""
REPOSITORY = Path(__file__).resolve().parents[2]

Launch = Callable[[Path], None]
"""Runs a sweep file in its folder to its end."""


@dataclass(frozen=True)
class CellsRun:
    """What the launches train, and with what."""

    folder: Path
    """Holds the data root `data`; stores and features are written here."""
    datasets: Sequence[str]
    backbone: str
    precision: Precision
    shots: Sequence[int] = SHOTS
    seeds: Sequence[int] = SEEDS
    workers: int = 1
    """Processes that share the GPU."""
    on_gpu: bool = True

    def sweep(self, epochs: int) -> Path:
        """Write the sweep file whose cells train for `epochs`."""
        run = {
            "gpus_per_trial": 1 / self.workers if self.on_gpu else 0,
            "max_concurrent": self.workers,
            "tracking_uri": self._store,
        }
        sweep = {
            "name": f"cells-{epochs}",
            "grid": {"datasets": list(self.datasets), "shots": list(self.shots), "seeds": list(self.seeds)},
            "setting": {
                "backbone": {"name": self.backbone, "pretrained": "random", "precision": self.precision},
                "data": {"root": str(self.folder / "data"), "views": 1},
                "optim": {"recipe": "coop", "epochs": epochs},
            },
            "baselines": ["coop"],
            "run": run,
        }
        file = self.folder / f"cells-{epochs}.yaml"
        file.write_text(yaml.safe_dump(sweep))
        return file

    @property
    def _store(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def rows(self, epochs: int) -> list[CellRow]:
        """The cells on record, all of them finished."""
        rows = open_reader(self._store).read_cells(f"cells-{epochs}")
        if failed := [row for row in rows if not row.finished]:
            raise SystemExit(f"{len(failed)} cells did not finish, the first: {failed[0].failure}")
        return rows


def print_cells(run: CellsRun, launch: Launch | None = None, now: Callable[[], float] = time.perf_counter) -> None:
    """Run both launches and print what they took, each at once, and what the recipe's epochs would.

    Args:
        launch: Runs a sweep; None for the command line in a process of its own.
    """
    launch, seconds = launch or _launch, {}
    for epochs in EPOCHS:
        file, start = run.sweep(epochs), now()
        launch(file)
        seconds[epochs] = now() - start
        print(f"{epochs} epochs from start to record: {seconds[epochs]:.0f} s\n", flush=True)
    few, many = (run.rows(epochs) for epochs in EPOCHS)
    steps = extra_seconds(few, many) / run.workers
    print(
        f"| {len(many)} cells, {run.workers} at once | {EPOCHS[0]} epochs, with encoding | {EPOCHS[1]} epochs | ",
        end="",
    )
    print("the recipe's epochs | cells an hour |")
    print("|---|---|---|---|---|")
    full = seconds[EPOCHS[1]] + steps
    print(f"| from start to record | {seconds[EPOCHS[0]]:.0f} s | {seconds[EPOCHS[1]]:.0f} s | ", end="")
    print(f"{full / 60:.1f} min, of which {steps / 60:.1f} extrapolated | {3600 * len(many) / full:,.0f} |\n")
    print("| dataset | seconds of an epoch, by shots | the recipe's epochs |\n|---|---|---|")
    for dataset in run.datasets:
        chosen = [[row for row in rows if row.dataset == dataset] for rows in (few, many)]
        paces = " · ".join(f"{pace:.3g}" for pace in epoch_seconds(*chosen).values())
        print(f"| {dataset.removeprefix(PREFIX)} | {paces} | {extra_seconds(*chosen) / 60:.1f} min more |")
    print()


def epoch_seconds(few: Iterable[CellRow], many: Iterable[CellRow]) -> dict[tuple[str, int], float]:
    """Seconds of an epoch of all seeds together, by dataset and shots: the slope between two numbers of epochs.

    A cell's seconds are its share of its pack's, so those of all seeds add up to the packs', whoever shared one.
    """
    totals = []
    for rows in (few, many):
        total: dict[tuple[str, int], float] = {}
        for row in sorted(rows, key=lambda row: (row.dataset, row.shots)):
            total[row.dataset, row.shots] = total.get((row.dataset, row.shots), 0.0) + row.seconds
        totals.append(total)
    return {place: max(0.0, totals[1][place] - totals[0][place]) / (EPOCHS[1] - EPOCHS[0]) for place in totals[1]}


def extra_seconds(few: Iterable[CellRow], many: Iterable[CellRow]) -> float:
    """Seconds that the epochs of CoOp's recipe take beyond those of the second launch."""
    paces = epoch_seconds(few, many).items()
    return sum(pace * (recipe_epochs(dataset, shots) - EPOCHS[1]) for (dataset, shots), pace in paces)


def recipe_epochs(dataset: str, shots: int) -> int:
    """Of the real dataset whose shape this one has."""
    return resolve_recipe("coop", dataset=dataset.removeprefix(PREFIX), shots=shots, n_images=TRAIN).epochs


def _launch(file: Path) -> None:
    environment: Mapping[str, str] = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
        "DUALPT_CACHE": str(file.parent / "cache"),
    }
    command = [sys.executable, "-m", "dualpt.sweeps.cli", "sweep", str(file)]
    log = file.with_suffix(".log")
    with log.open("w") as said, _child(command, cwd=file.parent, env=environment, stdout=said, stderr=said) as child:
        code = child.wait()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}: {log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def _child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that doesn't outlive this block, nor this process where SIGTERM ends it."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        child = subprocess.Popen(command, **options)
        try:
            yield child
        finally:
            _end(child)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        if child.poll() is None:
            child.terminate()
            child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"the sweep did not end within {GRACE_SECONDS:g} s; killed", file=sys.stderr)
    finally:  # a second signal may have ended the wait
        child.kill()
        child.wait()


def _exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)
