"""Stores made under a lock and moved into place; what a kill leaves; copies before migrations."""

import contextlib
import logging
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.mlflow.database import newest
from dualpt.sweeps.search.studies import open_storage
from dualpt.sweeps.stores.sqlite_files import revision, tables

TOGETHER = 3
MAKE = {
    "mlflow": "from dualpt.sweeps.ledger.mlflow import Ledger; import sys; Ledger(sys.argv[1]).experiment(sys.argv[2])",
    "optuna": "from dualpt.sweeps.search.studies import open_storage; import sys; "
    "open_storage(sys.argv[1]).create_new_study([2], sys.argv[2])",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))


def begin(kind: str, path: Path, name: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", MAKE[kind], f"sqlite:///{path}", name]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.cluster
@pytest.mark.parametrize("kind", ["mlflow", "optuna"])
def test_processes_that_begin_together_all_find_a_store(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.db"
    together = [begin(kind, path, f"sweep-{n}") for n in range(TOGETHER)]
    for process in together:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert not [left.name for left in tmp_path.iterdir() if ".making-" in left.name]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        table, column = ("experiments", "name") if kind == "mlflow" else ("studies", "study_name")
        found = {name for (name,) in connection.execute(f"SELECT {column} FROM {table}")}
    assert {f"sweep-{n}" for n in range(TOGETHER)} <= found


@pytest.mark.cluster
def test_a_kill_while_it_is_made_leaves_nothing_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    process = begin("mlflow", path, "killed")
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob(".mlflow.db.making-*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not path.exists()
    assert Ledger(f"sqlite:///{path}").sweeps() == []
    assert not list(tmp_path.glob(".mlflow.db.making-*"))


@pytest.mark.parametrize(
    "left",
    [
        (),
        ("CREATE TABLE runs (a)", "DROP TABLE runs"),
        ("CREATE TABLE experiments (a)", "CREATE TABLE runs (a)"),
        ("CREATE TABLE runs (a)", "CREATE TABLE alembic_version (version_num)"),
        (
            "CREATE TABLE runs (a)",
            "CREATE TABLE _alembic_tmp_tags (a)",
            "CREATE TABLE alembic_version (version_num)",
            "INSERT INTO alembic_version VALUES ('90e64c465722')",
        ),
    ],
    ids=["empty", "no tables", "no version", "no revision", "in mid-migration"],
)
def test_a_store_that_an_older_kill_left_half_made_is_made_again(
    left: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mlflow.db"
    path.touch()
    execute(path, *left)
    had_tables = bool(tables(path))
    with caplog.at_level(logging.WARNING):
        assert Ledger(f"sqlite:///{path}").sweeps() == []
    assert revision(path) == newest()
    assert len(list(tmp_path.glob("mlflow.db.half-made-*"))) == had_tables
    assert ("made again" in caplog.text) == had_tables


def test_what_was_recorded_before_a_cut_off_migration_is_never_made_again(tmp_path: Path, fresh_stores: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes((fresh_stores / "mlflow.db").read_bytes())
    execute(
        path,
        "INSERT INTO runs (run_uuid, status, lifecycle_stage, experiment_id) VALUES ('r', 'FINISHED', 'active', 0)",
        "CREATE TABLE _alembic_tmp_tags (a)",
    )
    content = path.read_bytes()
    with pytest.raises(UserError, match=r"cut off, and it holds 1 runs; put the copy .* in its place"):
        Ledger(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_half_made_study_storage_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    execute(path, "CREATE TABLE studies (study_id)", "CREATE TABLE trials (trial_id)")
    assert open_storage(f"sqlite:///{path}").get_all_studies() == []
    assert len(list(tmp_path.glob("optuna.db.half-made-*"))) == 1


def test_a_newer_store_is_answered_with_the_newer_mlflow(tmp_path: Path, fresh_stores: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes((fresh_stores / "mlflow.db").read_bytes())
    execute(path, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    with pytest.raises(UserError, match=r"revision fedcba987654\) are of a newer MLflow .* install the newer one"):
        Ledger(f"sqlite:///{path}")
    assert revision(path) == "fedcba987654"


@pytest.mark.slow
def test_an_older_store_is_copied_before_it_is_migrated(
    tmp_path: Path, fresh_stores: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from alembic import command
    from alembic.config import Config
    from mlflow.store import db_migrations

    path = tmp_path / "mlflow.db"
    path.write_bytes((fresh_stores / "mlflow.db").read_bytes())
    config = Config()
    config.set_main_option("script_location", str(Path(db_migrations.__path__[0])))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.downgrade(config, "-1")
    older = revision(path)
    assert older != newest()
    with caplog.at_level(logging.WARNING):
        Ledger(f"sqlite:///{path}")
    assert revision(path) == newest()
    (copy,) = tmp_path.glob("mlflow.db.before-*")
    assert revision(copy) == older
    assert f"a copy is kept in {copy}" in caplog.text
