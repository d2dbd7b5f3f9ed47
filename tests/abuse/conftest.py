"""What all bad inputs share: a store with one small sweep, a data root in miniature, and libraries that are loaded."""

from pathlib import Path

import optuna
import pytest
import torch

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.learned.prompts import LearnedPrompts, save_prompts
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.ledger.mlflow import Ledger
from tests.abuse.odd_files import shared_files
from tests.miniature_root import build_miniature
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import changed, declaration


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `mlflow.db`, which records the sweep `small`, learned prompts, a bank, and `data`; read only."""
    folder = tmp_path_factory.mktemp("stage")
    Ledger(f"sqlite:///{folder / 'mlflow.db'}")
    optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    (folder / "log").touch()
    sweep = check_sweep(
        changed(declaration(folder), {"grid.datasets": ["mini-pets"], "search.datasets": None}), "small"
    )
    train_here(sweep, folder / "log")
    build_miniature(folder / "data")
    shared_files(folder)
    cell = Cell(Setting(), "mini-pets", "few-shot", 4, 1)
    learned = LearnedPrompts(torch.ones(2, 16, 128), cell, "0" * 64, ("cat", "dog"), None, "0" * 64)
    save_prompts(folder / "kept.safetensors", learned)
    return folder
