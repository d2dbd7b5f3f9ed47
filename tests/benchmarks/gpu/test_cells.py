"""Cells of real shapes: launched in this process here, without Ray, with the real runner and ledger."""

import re
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.gpu.cells import EPOCHS, CellsRun, epoch_seconds, extra_seconds, print_cells, recipe_epochs
from benchmarks.gpu.shaped_data import write_shaped_root
from dualpt.core.running.cell_runner import CellRunner
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.dispatch.progress import SweepProgress
from dualpt.sweeps.launching.declaring import open_dispatcher
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.planning.plan import plan_sweep
from dualpt.sweeps.workers.worker import train_pack


def launch_here(runner, file):
    sweep = load_sweep(file)
    plan, ledger = plan_sweep(sweep), Ledger(sweep.file.run.tracking_uri)
    cells = [cell for baseline in plan.baselines for cell in baseline.cells]
    runner.check(cells)
    runner.prepare(cells)
    dispatcher = open_dispatcher(
        sweep, plan, [], runner.key, SweepProgress(Console(quiet=True), enabled=False), ledger=ledger
    )
    while (unit := dispatcher.assign()) is not None:
        for pack in unit.packs:
            dispatcher.receive(unit.number, train_pack(runner, ledger, pack).outcomes)
        dispatcher.end_unit(unit.number)
    dispatcher.close(interrupted=False)


def test_cells_run_from_start_to_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    datasets = write_shaped_root(tmp_path / "data", datasets=["EuroSAT", "ImageNet"], longest=2, tested=4)
    run = CellsRun(tmp_path, datasets, "mini-clip", "fp32", shots=[1], seeds=[1], on_gpu=False)
    ticks = count(step=10)
    print_cells(run, partial(launch_here, CellRunner(device="cpu")), lambda: float(next(ticks)))
    assert [row.dataset for row in run.rows(EPOCHS[1])] == datasets
    printed = capsys.readouterr().out
    assert "| 2 cells, 1 at once | 4 epochs, with encoding | 14 epochs |" in printed
    assert re.search(r"from start to record \| 10 s \| 10 s \| [\d.]+ min, of which", printed)
    assert "| ImageNet |" in printed


def row(dataset, shots, seed, seconds):
    return SimpleNamespace(dataset=dataset, shots=shots, seed=seed, seconds=seconds)


def test_only_the_number_of_epochs_is_extrapolated():
    few = [row("shaped-EuroSAT", 1, seed, 2.0) for seed in (1, 2, 3)]
    many = [row("shaped-EuroSAT", 1, seed, 4.0) for seed in (1, 2, 3)]
    assert epoch_seconds(few, many) == {("shaped-EuroSAT", 1): pytest.approx(0.6)}
    assert extra_seconds(few, many) == pytest.approx(0.6 * (50 - EPOCHS[1]))


def test_epochs_are_those_of_the_real_dataset():
    assert recipe_epochs("shaped-ImageNet", 16) == 50
    assert recipe_epochs("shaped-EuroSAT", 16) == 200


def test_cells_that_failed_end_the_benchmark(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    run = CellsRun(tmp_path, ["shaped-EuroSAT"], "mini-clip", "fp32")
    failed = SimpleNamespace(finished=False, failure="no memory")
    reader = SimpleNamespace(read_cells=lambda name: [failed])
    monkeypatch.setattr("benchmarks.gpu.cells.open_reader", lambda store: reader)
    with pytest.raises(SystemExit, match="1 cells did not finish, the first: no memory"):
        run.rows(4)
