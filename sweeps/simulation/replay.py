"""A sweep by the clock: workers take shards from the real dealer and give them back after the seconds they take."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.dealer import Dealer
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.shards import Pack, Shard
from dualpt.sweeps.planning.plan import SweepPlan
from dualpt.sweeps.racing import Race
from dualpt.sweeps.records import CellOutcome, DealtCell
from dualpt.sweeps.simulation.memory import ListedCandidates, MemoryBook


class World(Protocol):
    """What training would give."""

    def seconds(self, dealt: DealtCell) -> float:
        """How long a worker is busy with a cell."""

    def accuracy(self, dealt: DealtCell) -> float:
        """Its validation accuracy, in percent."""


@dataclass(frozen=True)
class Timeline:
    """What a simulated sweep took."""

    workers: int
    makespan: float
    """Seconds from the first cell to the last."""
    busy: float
    """Seconds of training, summed over workers."""
    cells: int
    """Cells trained."""
    pruned: int
    """Candidates that the race gave up."""

    @property
    def idle_share(self) -> float:
        """Of the workers' time."""
        return 1 - self.busy / (self.workers * self.makespan) if self.makespan else 0.0


def simulated_dealer(sweep: LoadedSweep, plan: SweepPlan, candidates: ListedCandidates, race: Race | None) -> Dealer:
    """The real dealer over a ledger in memory.

    Cells are told apart by the identity of their setting's object: hashing settings would take most of the time.
    """
    silent = SweepProgress(Console(quiet=True), enabled=False)
    return Dealer(sweep, plan, candidates, MemoryBook(), [], _quick_key, silent, race)


def replay(
    dealer: Dealer, world: World, workers: int, on_pack: Callable[[float, Dealer], None] | None = None
) -> Timeline:
    """Let time pass until the dealer has nothing left.

    Args:
        dealer: as made by `simulated_dealer`.
        workers: packs that are trained at the same time.
        on_pack: called after every pack with the training seconds so far, and the dealer.
    """
    dealer.workers = workers
    clock, busy, free, order = 0.0, 0.0, workers, itertools.count()
    events: list[tuple[float, int, float, Shard, int]] = []

    def begin(shard: Shard, place: int) -> None:
        seconds = sum(world.seconds(dealt) for dealt in shard.packs[place])
        heapq.heappush(events, (clock + seconds, next(order), seconds, shard, place))

    while True:
        while free and (shard := dealer.deal()) is not None:
            free -= 1
            begin(shard, 0)
        if not events:
            break
        clock, _, seconds, shard, place = heapq.heappop(events)
        busy += seconds
        dealer.book(shard.number, _outcomes(world, shard.packs[place]))
        if place + 1 < len(shard.packs):
            begin(shard, place + 1)
        else:
            dealer.take_back(shard.number)
            free += 1
        if on_pack is not None:
            on_pack(busy, dealer)
    return Timeline(workers, clock, busy, dealer.tally.trained, dealer.tally.pruned)


def _outcomes(world: World, pack: Pack) -> list[CellOutcome]:
    return [CellOutcome(dealt.key, "", world.accuracy(dealt), None) for dealt in pack]


def _quick_key(cell: Cell) -> str:
    return f"{id(cell.setting)} {cell.dataset} {cell.shots} {cell.seed}"
