"""Simulated sweeps: the clock against arithmetic, the real dispatcher's order, and the command as a user types it."""

import io
import json

import pytest
from rich.console import Console

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.sweeps.launching.preview import simulate
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.racing import NO_RACE, Asha, Race
from dualpt.sweeps.simulation.estimates import EstimatedWorld, assumed_seconds, estimated_scores
from dualpt.sweeps.simulation.memory import ListedCandidates
from dualpt.sweeps.simulation.replay import Timeline, replay, simulated_dispatcher
from tests.sweeps.small_sweep import Declare


class TenSeconds:
    def of(self, cell: Cell) -> float:
        return 10.0


def timeline(declare: Declare, workers: int, *, trials: int = 4, race: Race = NO_RACE) -> Timeline:
    """Candidates on three datasets with one seed, then two seeds of the best: each cell takes 10 s."""
    sweep = declare(baselines=[])
    names = [f"trial-{number:03d}" for number in range(trials)]
    scores = {name: dict.fromkeys(sweep.file.grid.datasets, 50.0 - place) for place, name in enumerate(names)}
    candidates = ListedCandidates((name, sweep.reference.model_copy()) for name in names)
    return replay(
        simulated_dispatcher(sweep, plan_sweep(sweep), candidates, race), EstimatedWorld(TenSeconds(), scores), workers
    )


def test_one_worker_is_never_idle(declare: Declare) -> None:
    one = timeline(declare, 1)
    assert one.makespan == one.busy == (4 * 3 + 3) * 10
    assert one.idle_share == 0
    assert one.cells == 15


def test_workers_wait_only_for_the_selection(declare: Declare) -> None:
    # Twelve cells on five workers take three rounds, the last three of the best a fourth.
    five = timeline(declare, 5)
    assert five.makespan == 40
    assert five.idle_share == pytest.approx(1 - 15 / 20)


def test_a_race_is_simulated_by_the_race_itself(declare: Declare) -> None:
    raced = timeline(declare, 1, race=Asha(3, reduction=3))
    assert raced.cells == 3 + 3 + 3, "the first whole, three on one dataset, two seeds' rest of the best"
    assert raced.pruned == 3


def test_scores_are_drawn_from_recorded_candidates() -> None:
    from random import Random

    recorded = [[60.0 + n, 40.0 + n] for n in range(8)]
    scores = estimated_scores(["a", "b"], recorded)
    assert scores.levels == {"a": 63.5, "b": 43.5}
    drawn = scores.draw(Random(0))
    assert drawn["a"] - drawn["b"] == pytest.approx(20)
    assert estimated_scores(["a", "b"], recorded[:7]).effects == (), "too few: a normal distribution"


def test_assumed_seconds_follow_classes_and_shots(declare: Declare) -> None:
    cells = [Cell(Setting(), name, "few-shot", 4, 1) for name in ("EuroSAT", "ImageNet")]
    taken = assumed_seconds(cells)
    assert taken.of(cells[1]) / taken.of(cells[0]) == pytest.approx(100)
    assert (taken.of(cells[0]) + taken.of(cells[1])) / 2 == pytest.approx(60)


def test_the_command_prints_a_row_for_each_size(declare: Declare, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = declare(**{"search.racing": "asha"})
    simulate(sweep, gpus=[1, 4], trials=[10, 30], console=Console(), as_json=True)
    document = json.loads(capsys.readouterr().out)
    rows = document["rows"]
    assert [(row["trials"], row["gpus"]) for row in rows] == [(10, 1), (10, 4), (30, 1), (30, 4)]
    assert rows[0]["makespan_seconds"] > rows[1]["makespan_seconds"]
    assert all(row["share_of_full"] < 0.9 and row["candidates_pruned"] > 0 for row in rows)
    text = io.StringIO()
    simulate(sweep, gpus=[2], trials=[], console=Console(file=text, width=120))
    assert "none recorded here" in text.getvalue()


def test_what_cannot_be_simulated_is_one_line(declare: Declare) -> None:
    shots = {"data.shots": {"choice": [1, 4]}, "alignment.llm_weight": {"float": [1, 2]}}
    with pytest.raises(UserError, match=r"a search over data.shots cannot be simulated"):
        simulate(declare(**{"grid.shots": [1, 4], "search.space": shots}), gpus=[1], trials=[], console=Console())
    with pytest.raises(UserError, match="this sweep has no search"):
        simulate(declare(search=None), gpus=[1], trials=[10], console=Console())
    with pytest.raises(UserError, match="at most 100000"):
        simulate(declare(), gpus=[1], trials=[1_000_000], console=Console())
