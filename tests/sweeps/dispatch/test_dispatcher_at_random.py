"""The dispatcher under random failures, deaths, losses and races: every cell ends once, and nothing waits for ever."""

import json
from collections import Counter, deque
from dataclasses import replace
from random import Random

import pytest
from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.dispatch.work_units import Pack
from dualpt.sweeps.planning.plan import TrialPlan, grid_cells, plan_sweep
from dualpt.sweeps.racing import NO_RACE, Asha, Race, StatisticalRace
from dualpt.sweeps.records import CellOutcome
from dualpt.sweeps.simulation.memory import ListedCandidates, MemoryLedger
from tests.sweeps.small_sweep import changed, declaration

DATASETS = 3


def key(cell: Cell) -> str:
    weight = cell.setting.alignment.llm_weight
    return json.dumps([cell.setting.method, weight, cell.setting.alignment.topk, cell.dataset, cell.shots, cell.seed])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> LoadedSweep:
    return check_sweep(changed(declaration(tmp_path_factory.mktemp("sweep")), {"baselines": ["coop"]}), "test")


class World:
    """What becomes of cells, drawn when they are first trained."""

    def __init__(self, random: Random) -> None:
        self._random, self._share_failing = random, random.choice([0.0, 0.05, 0.2, 1.0])
        self._fates: dict[str, float | None] = {}
        self.finished: Counter[str] = Counter()

    def train(self, pack: Pack) -> list[CellOutcome]:
        return [self._outcome(keyed.key) for keyed in pack]

    def _outcome(self, key: str) -> CellOutcome:
        if key not in self._fates:
            self._fates[key] = None if self._random.random() < self._share_failing else 100 * self._random.random()
        fate = self._fates[key]
        self.finished[key] += fate is not None
        return CellOutcome(key, key, fate, None if fate is not None else "no luck")


def opened(sweep: LoadedSweep, random: Random) -> Dispatcher:
    """A race or none over a few candidates, some of them equal to each other or to a variant."""

    def plan(name: str) -> TrialPlan:
        values = {"alignment.llm_weight": random.choice([1.0, 2.0, 3.0, 4.0, 5.0]), "alignment.local_form": "topk"}
        setting = sweep.reference.with_values({**values, "alignment.topk": random.choice([1, 1, 2])})
        return TrialPlan(name, "variant", setting, grid_cells(sweep, setting))

    declared = plan_sweep(sweep)
    variants = [plan(f"variant-{number}") for number in range(random.randint(0, 3))]
    settings = [(f"trial-{number:03d}", plan("").setting) for number in range(random.randint(2, 9))]
    races: list[Race] = [NO_RACE, Asha(DATASETS, reduction=2), StatisticalRace(DATASETS, first=2, confidence=0.6)]
    dispatcher = Dispatcher(
        sweep,
        replace(declared, baselines=(*declared.baselines, *variants), candidates=len(settings)),
        MemoryLedger(),
        [],
        key,
        SweepProgress(Console(quiet=True), enabled=False),
        candidates=ListedCandidates(settings),
        race=random.choice(races),
    )
    dispatcher.workers, dispatcher.settings_per_pack = random.randint(1, 5), random.randint(1, 4)
    return dispatcher


@pytest.mark.parametrize("seed", range(80))
def test_every_cell_ends_once(sweep: LoadedSweep, seed: int) -> None:
    random = Random(seed)
    dispatcher, world = opened(sweep, random), World(random)
    dying, losing = random.choice([0.0, 0.15]), random.choice([0.0, 0.1])
    out: dict[int, deque[Pack]] = {}
    for _ in range(5000):
        while len(out) < dispatcher.workers and (unit := dispatcher.assign()) is not None:
            out[unit.number] = deque(unit.packs)
        if not out:
            break
        number = random.choice(sorted(out))
        what = random.random()
        if out[number] and what < dying + losing:
            dispatcher.end_unit(number, died=what < dying)
            del out[number]
            continue
        if out[number]:
            dispatcher.receive(number, world.train(out[number].popleft()))
        if not out[number]:
            dispatcher.end_unit(number)
            del out[number]
    assert dispatcher.idle
    assert dispatcher.assign() is None
    assert set(world.finished.values()) <= {0, 1}, "a finished cell is never trained again"
    assert dispatcher.complete, (dispatcher.counts, dispatcher.total)
