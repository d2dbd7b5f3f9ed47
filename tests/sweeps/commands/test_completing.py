"""What a shell completes is what the commands take."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import typer
from typer.main import get_command

from dualpt.core.errors import UserError
from dualpt.search_spaces.overrides import parse_overrides
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.search_spaces.sweep_file import load_sweep
from dualpt.sweeps.cli import app
from dualpt.sweeps.commands import completing
from dualpt.sweeps.ledger.cell_names import find_cell
from dualpt.sweeps.ledger.mlflow import Ledger
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare


def test_words_begin_as_typed_and_are_known() -> None:
    assert completing.shipped_sweeps("dem") == ["demo"]
    assert completing.shipped_ablations("comp") == ["components"]
    assert {"demo", "components"} <= set(completing.shipped_files(""))
    assert completing.datasets("mini-p")[0] == "mini-pets"
    assert "coop" in completing.methods("co")
    assert completing.figures("pa") == ["pareto", "parallel"]
    assert completing.setting_keys("optim.lea") == ["optim.learning_rate="]
    assert completing.override_keys("run.max_h") == ["run.max_hours="]
    assert completing.override_keys("zz") == []


def test_completed_keys_are_taken() -> None:
    (key,) = completing.override_keys("search.tri")
    sweep = load_sweep(shipped_or_path("demo"), parse_overrides([f"{key}7", "optim.momentum=0.5"]))
    assert sweep.file.search is not None
    assert sweep.file.search.trials == 7


def test_recorded_sweeps_are_those_of_the_store_that_is_meant(declare: Declare, tmp_path: Path) -> None:
    store = declare().file.run.tracking_uri
    ledger = Ledger(store)
    ledger.open_sweep(ledger.experiment("mine"), "mine")
    context = typer.Context(get_command(app))
    context.params["store"] = store
    assert completing.recorded_sweeps(context, "m") == ["mine"]
    context.params["store"] = f"sqlite:///{tmp_path}/nowhere.db"
    assert completing.recorded_sweeps(context, "m") == []


def test_places_of_cells_are_completed_part_by_part(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    context = typer.Context(get_command(app))
    context.params["store"] = sweep.file.run.tracking_uri
    assert completing.cells(context, "sm") == ["small/"]
    assert completing.cells(context, "small/") == ["small/zero-shot/", "small/coop/"]
    assert completing.cells(context, "small/coop/mini-p") == ["small/coop/mini-pets/"]
    places = completing.cells(context, "small/coop/mini-pets/4/")
    assert places == ["small/coop/mini-pets/4/1", "small/coop/mini-pets/4/2"]
    assert find_cell(Ledger(sweep.file.run.tracking_uri), places[0]).seed == 1
    assert completing.cells(context, "other/") == []


SWEEPS = {"inspect": "cells", "board": "recorded_sweeps", "export": "recorded_sweeps", "claim": "recorded_sweeps"}


@pytest.mark.parametrize(("command", "completed"), SWEEPS.items())
def test_commands_that_take_a_sweep_complete_it(command: str, completed: str) -> None:
    parameters = get_command(app).commands[command].params  # type: ignore[attr-defined]
    (argument,) = (p for p in parameters if p.name in ("cell", "names", "name"))
    context = typer.Context(get_command(app))
    with mock.patch.object(completing, "_reader", side_effect=UserError("asked")) as asked:
        argument.shell_complete(context, "a/" if completed == "cells" else "a")
    assert asked.called


@pytest.mark.parametrize(
    ("words", "found"), [("dualpt sweep dem", "demo"), ("dualpt sweep demo optim.lea", "optim.learning_rate=")]
)
def test_a_shell_is_answered(tmp_path: Path, words: str, found: str) -> None:
    asked = {"_DUALPT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    environment = {**os.environ, **asked, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "dualpt.sweeps.cli"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == [found]
