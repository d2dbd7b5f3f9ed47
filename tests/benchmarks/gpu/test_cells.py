"""Cells of real shapes: launched in this process here, without Ray, with the real runner and ledger;
and launches in one of their own that fail or are stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.gpu.cells import (
    EPOCHS,
    REPOSITORY,
    CellsRun,
    _launch,
    epoch_seconds,
    extra_seconds,
    print_cells,
    recipe_epochs,
)
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
    assert printed.startswith(
        "4 epochs from start to record: 10 s\n\n14 epochs from start to record: 10 s\n\n| 2 cells"
    )
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


def test_the_first_launch_is_printed_before_the_second_fails(tmp_path, capsys):
    ticks, launched = count(step=10), []

    def launch(file):
        launched.append(file.name)
        if len(launched) == 2:
            raise SystemExit("the second failed")

    run = CellsRun(tmp_path, ["shaped-EuroSAT"], "mini-clip", "fp32")
    with pytest.raises(SystemExit, match="the second failed"):
        print_cells(run, launch, lambda: float(next(ticks)))
    assert launched == ["cells-4.yaml", "cells-14.yaml"]
    assert capsys.readouterr().out == "4 epochs from start to record: 10 s\n\n"


def stand_in(folder, *lines):
    """A program in place of Python's."""
    program = folder / "python"
    program.write_text("\n".join(("#!/bin/sh", *lines)))
    program.chmod(0o755)
    return str(program)


def test_a_launch_that_fails_says_what_it_printed(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", stand_in(tmp_path, "echo no memory >&2", "exit 3"))
    with pytest.raises(SystemExit, match=r"sweep .*cells-4\.yaml ended with 3: no memory"):
        _launch(tmp_path / "cells-4.yaml")


@pytest.mark.parametrize("trap", ["", "trap '' TERM"])
def test_a_sweep_does_not_outlive_the_benchmark_that_is_stopped(tmp_path, trap):
    here = "from pathlib import Path; import sys; from benchmarks.gpu import cells; "
    here += "sys.executable, cells.GRACE_SECONDS = sys.argv[1], 0.5; cells._launch(Path(sys.argv[2]))"
    program = stand_in(tmp_path, trap, "echo $$ > pid.part", "mv pid.part pid", "exec sleep 60")
    command = [sys.executable, "-c", here, program, str(tmp_path / "cells-4.yaml")]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as benchmark:
        try:
            while not (tmp_path / "pid").exists():
                assert benchmark.poll() is None, benchmark.stderr.read()
                time.sleep(0.05)
            sweep = int((tmp_path / "pid").read_text())
            benchmark.terminate()
            said = benchmark.communicate(timeout=30)[1]
        finally:
            benchmark.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(sweep, signal.SIGKILL)
    assert benchmark.returncode == 143
    assert said == ("the sweep did not end within 0.5 s; killed\n" if trap else "")
