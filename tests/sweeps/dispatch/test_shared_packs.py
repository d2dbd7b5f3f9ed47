"""Variants of equal shape share training steps, with the numbers that each has alone."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dualpt.core.errors import UserError
from dualpt.core.running.cell_runner import CellRunner
from dualpt.search_spaces.ablation import LoadedAblation, check_ablation
from dualpt.sweeps.dispatch.dispatcher import Dispatcher
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.records import CellRow
from dualpt.sweeps.workers.worker import train_pack
from tests.sweeps.fake_runner import FakeRunner
from tests.sweeps.running import open_dispatcher, shown

WEIGHTS = {
    "heavier": {"alignment.llm_weight": 8},
    "four sentences": {"descriptions.per_class": 4},
    "lighter": {"alignment.llm_weight": 1},
    "four prompts": {"prompt.n_prompts": 4},
}
"""The first and third have the reference's shape; the others stand between them."""
DeclareAblation = Callable[..., LoadedAblation]


@pytest.fixture
def declare_ablation(declare: Any) -> DeclareAblation:
    stores = declare().file.run.model_dump()

    def make(**changes: Any) -> LoadedAblation:
        declared = {
            "name": "weights",
            "grid": {"datasets": ["mini-tiles"], "shots": [2], "seeds": [1, 2]},
            "setting": {"optim.epochs": 4, "prompt.context_length": 4},
            "variants": WEIGHTS,
            "run": stores,
        }
        return check_ablation({**declared, **changes}, "test")

    return make


def train(dispatcher: Dispatcher, uri: str, runner: Any) -> list[list[str]]:
    """Train to the end; returns the trials that shared each pack."""
    packs, ledger = [], Ledger(uri, create=False)
    while (unit := dispatcher.assign()) is not None:
        for pack in unit.packs:
            packs.append(list(dict.fromkeys(cell.trial.name for cell in pack)))
            dispatcher.receive(unit.number, train_pack(runner, ledger, pack).outcomes)
        dispatcher.end_unit(unit.number)
    dispatcher.close(interrupted=False)
    return packs


def test_variants_of_equal_shape_share_packs_wherever_they_stand(declare_ablation: DeclareAblation, log: Path) -> None:
    sweep = declare_ablation(grid={"datasets": ["mini-pets", "mini-cars"], "shots": [4], "seeds": [1]}).sweep
    dispatcher = open_dispatcher(sweep)
    dispatcher.settings_per_pack = dispatcher.wanted_per_pack(on_gpu=False)
    assert dispatcher.settings_per_pack == 4
    packs = train(dispatcher, sweep.file.run.tracking_uri, FakeRunner(log))
    assert packs == [["reference", "heavier", "lighter"]] * 2 + [["four sentences"]] * 2 + [["four prompts"]] * 2
    assert all(row.finished for row in shown(sweep))
    assert len(shown(sweep)) == 5 * 2


def test_a_study_says_how_many_variants_share(declare_ablation: DeclareAblation, log: Path) -> None:
    sweep = declare_ablation(pack=2).sweep
    dispatcher = open_dispatcher(sweep)
    dispatcher.settings_per_pack = dispatcher.wanted_per_pack(on_gpu=False)
    packs = train(dispatcher, sweep.file.run.tracking_uri, FakeRunner(log))
    assert packs[:2] == [["reference", "heavier"], ["four sentences"]]
    assert open_dispatcher(declare_ablation().sweep).wanted_per_pack(on_gpu=True) == 16 // 2
    with pytest.raises(UserError, match="pack: how many variants may share steps"):
        declare_ablation(pack=0)


def test_shared_steps_give_the_numbers_of_each_alone(declare_ablation: DeclareAblation, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    runner = CellRunner(cache=tmp_path / "features", device="cpu")
    results = {}
    for settings in (1, 3):
        shutil.copy(tmp_path / "mlflow.db", store := tmp_path / f"by-{settings}.db")
        sweep = declare_ablation(run={"tracking_uri": f"sqlite:///{store}"}).sweep
        cells = [cell for trial in plan_sweep(sweep).baselines for cell in trial.cells]
        runner.check(cells)
        runner.prepare(cells)
        dispatcher = open_dispatcher(sweep)
        dispatcher.settings_per_pack = settings
        packs = train(dispatcher, sweep.file.run.tracking_uri, runner)
        assert (["reference", "heavier", "lighter"] in packs) == (settings == 3)
        results[settings] = {(row.trial, row.seed): numbers(row) for row in shown(sweep)}
    assert len(results[1]) == 5 * 2
    assert results[3].keys() == results[1].keys()
    for cell, alone in results[1].items():
        assert results[3][cell] == pytest.approx(alone, rel=1e-4), cell


def numbers(row: CellRow) -> dict[str, float]:
    assert row.finished, row.failure
    return {name: value for name, value in row.metrics.items() if name != "train/seconds"}
