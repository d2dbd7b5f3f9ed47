"""What racing saves: recorded results of whole candidates on the mini grid, replayed without training.

    python -m benchmarks.racing                     the table of docs/racing.md; about a minute on one core
    python -m benchmarks.racing --record STORE      makes benchmarks/data/mini-racing.csv anew, 15 minutes on two cores

Recorded are 96 random settings on the eleven mini datasets at 4 shots, two seeds each (`mini-racing.yaml`). Each replay
draws 48 of them in a random order. The full search judges all of them whole and picks the best by validation accuracy.
A scheduler's pick is good when its validation accuracy, over all datasets, is within half a point of that of the full
search's pick.
"""

import argparse
import csv
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from rich.console import Console
from rich.progress import track

from dualpt.core.results import VAL_ACCURACY
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.racing import Asha, NoRace, Race, StatisticalRace
from dualpt.sweeps.records import TrialCell
from dualpt.sweeps.simulation.memory import ListedCandidates
from dualpt.sweeps.simulation.replay import replay, simulated_dispatcher

FOLDER = Path(__file__).with_name("data")
SWEEP, RESULTS = FOLDER / "mini-racing.yaml", FOLDER / "mini-racing.csv"
CANDIDATES = 48
SEEDS = 20
GOOD = 0.5
"""Points of validation accuracy within which a pick is good."""

Places = dict[tuple[str, int], tuple[float, float]]
"""(dataset, seed) -> validation accuracy in percent, seconds of training."""


@dataclass(frozen=True)
class Recorded:
    """What training gave, as the recorded settings had it; candidates are named after them."""

    results: dict[str, Places]

    def accuracy(self, keyed: TrialCell) -> float:
        return self.results[keyed.trial.name][keyed.cell.dataset, keyed.cell.seed][0]

    def seconds(self, keyed: TrialCell) -> float:
        return self.results[keyed.trial.name][keyed.cell.dataset, keyed.cell.seed][1]

    def whole(self, name: str) -> float:
        """Mean validation accuracy of a setting over everything."""
        return statistics.fmean(accuracy for accuracy, _ in self.results[name].values())

    def cost(self, names: Sequence[str]) -> float:
        """Seconds of training them whole."""
        return sum(seconds for name in names for _, seconds in self.results[name].values())


@dataclass(frozen=True)
class Replay:
    """One scheduler on one draw of candidates."""

    share: float
    """Of the full search's seconds, when the race was over."""
    good_from: float
    """Share of the full search's seconds from which on the pick was good; infinite where it never was."""
    regret: float
    """Validation accuracy of the full search's pick minus that of the scheduler's, in points."""


SCHEDULERS: dict[str, tuple[Callable[[], Race], int]] = {
    "none: every candidate complete": (NoRace, CANDIDATES),
    "none, a quarter of the candidates": (NoRace, CANDIDATES // 4),
    "asha, race_reduction 2": (partial(Asha, 11, reduction=2), CANDIDATES),
    "asha (race_reduction 3)": (partial(Asha, 11, reduction=3), CANDIDATES),
    "asha, race_reduction 4": (partial(Asha, 11, reduction=4), CANDIDATES),
    "asha, race_datasets 2": (partial(Asha, 11, first=2, reduction=3), CANDIDATES),
    "statistical (race_datasets 3, race_confidence 0.95)": (partial(StatisticalRace, 11), CANDIDATES),
    "statistical, race_confidence 0.8": (partial(StatisticalRace, 11, confidence=0.8), CANDIDATES),
    "statistical, race_datasets 2, race_confidence 0.8": (
        partial(StatisticalRace, 11, first=2, confidence=0.8),
        CANDIDATES,
    ),
}
"""By name: the race, and how many of the drawn candidates it may see."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", metavar="STORE", help="run the sweep in this tracking store, and export it")
    parser.add_argument("--workers", type=int, default=1, help="packs trained at the same time")
    arguments = parser.parse_args()
    if arguments.record:
        record(arguments.record)
        return
    recorded, sweep = read_results(), load_sweep(SWEEP)
    rows = {}
    for name in track(SCHEDULERS, description="replaying", transient=True):
        rows[name] = [replayed(recorded, sweep, name, seed, arguments.workers) for seed in range(SEEDS)]
    print(table(rows, arguments.workers))


def replayed(recorded: Recorded, sweep: LoadedSweep, scheduler: str, seed: int, workers: int) -> Replay:
    """Race a draw of the recorded candidates; the draw depends on the seed alone."""
    make, allowed = SCHEDULERS[scheduler]
    drawn = Random(seed).sample(sorted(recorded.results), CANDIDATES)
    full_cost, full_value = recorded.cost(drawn), max(map(recorded.whole, drawn))
    candidates = ListedCandidates((name, sweep.reference.model_copy()) for name in drawn[:allowed])
    dispatcher = simulated_dispatcher(sweep, plan_sweep(sweep), candidates, make())
    good_from = [float("inf")]

    def watch(busy: float, dispatcher: Dispatcher) -> None:
        good = dispatcher.best is not None and full_value - recorded.whole(dispatcher.best[0]) <= GOOD
        good_from[0] = min(good_from[0], busy / full_cost) if good else float("inf")

    timeline = replay(dispatcher, recorded, workers, watch)
    assert dispatcher.best is not None
    return Replay(timeline.busy / full_cost, good_from[0], full_value - recorded.whole(dispatcher.best[0]))


def table(rows: dict[str, list[Replay]], workers: int) -> str:
    """Markdown."""
    lines = [
        f"{SEEDS} draws of {CANDIDATES} candidates, {workers} worker{'s' if workers > 1 else ''}",
        "",
        "| scheduler | pick good from: median (90th percentile) | race over at | good picks | regret: mean (worst) |",
        "|---|---|---|---|---|",
    ]
    for name, replays in rows.items():
        shares = [100 * one.share for one in replays]
        regrets = [one.regret for one in replays]
        since = sorted(100 * one.good_from for one in replays)
        good_from = f"{_percent(statistics.median(since))} ({_percent(since[math.ceil(0.9 * len(since)) - 1])})"
        lines.append(
            f"| {name} | {good_from} | {statistics.fmean(shares):.0f} ± {statistics.stdev(shares):.0f} % "
            f"| {sum(regret <= GOOD for regret in regrets)} of {len(replays)} "
            f"| {statistics.fmean(regrets):.2f} ({max(regrets):.2f}) |"
        )
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{share:.0f} %" if math.isfinite(share) else "never"


def read_results(path: Path = RESULTS) -> Recorded:
    results: dict[str, Places] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            place = row["dataset"], int(row["seed"])
            results.setdefault(row["setting"], {})[place] = (float(row["val_accuracy"]), float(row["seconds"]))
    return Recorded(results)


def record(store: str, path: Path = RESULTS) -> None:
    """Run the sweep, or what is missing of it, and write its candidates' cells."""
    from dualpt.sweeps.launching.launch import launch
    from dualpt.sweeps.ledger.mlflow import Ledger

    study = f"{store.removesuffix('.db')}-study.db"
    sweep = load_sweep(SWEEP, {"run.tracking_uri": store, "run.study_storage": study})
    launch(sweep, console=Console())
    rows = [row for row in Ledger(store).read_cells(sweep.file.name) if row.kind == "search" and row.finished]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["setting", "dataset", "seed", "val_accuracy", "seconds"])
        for row in sorted(rows, key=lambda row: (row.trial, row.dataset, row.seed)):
            accuracy = f"{row.metrics[VAL_ACCURACY]:.3f}"
            writer.writerow([row.trial, row.dataset, row.seed, accuracy, f"{row.seconds:.3f}"])


if __name__ == "__main__":
    main()
