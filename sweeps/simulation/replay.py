"""A sweep by the clock: the real dispatcher assigns work units, which end after the seconds that they take."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.interfaces import NO_CANDIDATES, CandidateSource
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.work_units import Pack, WorkUnit
from dualpt.sweeps.planning.plan import SweepPlan
from dualpt.sweeps.racing import NO_RACE, Race
from dualpt.sweeps.records import CellOutcome, TrialCell
from dualpt.sweeps.simulation.memory import MemoryLedger


class World(Protocol):
    """What training would give."""

    def seconds(self, keyed: TrialCell) -> float:
        """How long a worker is busy with a cell."""

    def accuracy(self, keyed: TrialCell) -> float:
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


def simulated_dispatcher(
    sweep: LoadedSweep, plan: SweepPlan, candidates: CandidateSource = NO_CANDIDATES, race: Race = NO_RACE
) -> Dispatcher:
    """The real dispatcher over a ledger in memory.

    Cells are told apart by the identity of their setting's object: hashing settings would take most of the time.
    """
    silent = SweepProgress(Console(quiet=True), enabled=False)
    return Dispatcher(sweep, plan, MemoryLedger(), [], _quick_key, silent, candidates=candidates, race=race)


def replay(
    dispatcher: Dispatcher, world: World, workers: int, on_pack: Callable[[float, Dispatcher], None] | None = None
) -> Timeline:
    """Let time pass until the dispatcher has nothing left.

    Args:
        dispatcher: as made by `simulated_dispatcher`.
        workers: packs that are trained at the same time.
        on_pack: called after every pack with the training seconds so far, and the dispatcher.
    """
    dispatcher.workers = workers
    clock, busy, free, order = 0.0, 0.0, workers, itertools.count()
    events: list[tuple[float, int, float, WorkUnit, int]] = []

    def begin(unit: WorkUnit, place: int) -> None:
        seconds = sum(world.seconds(keyed) for keyed in unit.packs[place])
        heapq.heappush(events, (clock + seconds, next(order), seconds, unit, place))

    while True:
        while free and (unit := dispatcher.assign()) is not None:
            free -= 1
            begin(unit, 0)
        if not events:
            break
        clock, _, seconds, unit, place = heapq.heappop(events)
        busy += seconds
        dispatcher.receive(unit.number, _outcomes(world, unit.packs[place]))
        if place + 1 < len(unit.packs):
            begin(unit, place + 1)
        else:
            dispatcher.end_unit(unit.number)
            free += 1
        if on_pack is not None:
            on_pack(busy, dispatcher)
    return Timeline(workers, clock, busy, dispatcher.counts.trained, dispatcher.counts.pruned)


def _outcomes(world: World, pack: Pack) -> list[CellOutcome]:
    return [CellOutcome(keyed.key, "", world.accuracy(keyed), None) for keyed in pack]


def _quick_key(cell: Cell) -> str:
    return f"{id(cell.setting)} {cell.dataset} {cell.shots} {cell.seed}"
