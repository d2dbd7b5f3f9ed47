"""Fixtures of the sweep engine: a small sweep with its stores in a temporary folder."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from mlflow.store.db import utils
from optuna.storages._rdb.storage import _VersionManager

from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.ledger.mlflow import Ledger, database
from dualpt.sweeps.search import studies
from dualpt.sweeps.stores import sqlite_path
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare, changed, declaration


@pytest.fixture(scope="session", autouse=True)
def _stores_are_made_once(tmp_path_factory: pytest.TempPathFactory, mini_grid_drawn_once: None) -> Iterator[None]:
    """Migrating an empty store takes MLflow 1.5 s: what this process makes are copies of the first one."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        for module in (database, studies):
            patch.setattr(module, "_make", _copying(module._make, folder / f"{module.__name__}.db"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _newest_revisions_are_looked_up_once() -> Iterator[None]:
    """MLflow and Optuna load all their migrations to know the newest, each time that a store is opened."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((utils, "_get_latest_schema_revision"), (_VersionManager, "get_head_version")):
            patch.setattr(owner, name, _once(getattr(owner, name)))
        yield


def _once(ask: Callable[..., str]) -> Callable[..., str]:
    answers: list[str] = []

    def known(*owner: object) -> str:
        if not answers:
            answers.append(ask(*owner))
        return answers[0]

    return known


@pytest.fixture(scope="session", autouse=True)
def _stores_are_not_synced() -> Iterator[None]:
    """Stores outlive a kill without it, and no test has the machine fail; syncing takes a quarter of the time."""

    def leave_to_the_system(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", leave_to_the_system)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", leave_to_the_system)


def _copying(make: Callable[[str], None], first: Path) -> Callable[[str], None]:
    def copied(uri: str) -> None:
        if (path := sqlite_path(uri)) is None:
            make(uri)
            return
        if not first.exists():
            make(f"sqlite:///{first}")
        shutil.copyfile(first, path)

    return copied


@pytest.fixture(scope="session")
def fresh_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty tracking store and study storage: their migrations take seconds, copies none."""
    folder = tmp_path_factory.mktemp("fresh")
    Ledger(f"sqlite:///{folder / 'mlflow.db'}")
    optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    return folder


@pytest.fixture
def declare(tmp_path: Path, fresh_stores: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Make the small sweep with changes: `declare(**{"search.trials": 6})`."""
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(fresh_stores, tmp_path, dirs_exist_ok=True)
    return lambda **changes: check_sweep(changed(declaration(tmp_path), changes), "test")


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, fresh_stores: Path) -> Path:
    """A folder with the stores and the log of the small sweep, done; to be read only."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(fresh_stores, folder, dirs_exist_ok=True)
    train_here(check_sweep(declaration(folder), "test"), folder / "trained.log")
    return folder


@pytest.fixture
def done(declare: Declare, log: Path, tmp_path: Path, trained_once: Path) -> LoadedSweep:
    """`declare()`, trained to its end as `train_here` does: a copy, since training takes a second."""
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    return declare()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the fake runner notes the cells it trains."""
    path = tmp_path / "trained.log"
    path.touch()
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, by Playwright; tests that look at pages are skipped without the two."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
