"""What each address is answered with before any work is done: one line, at once, and nothing written."""

import os
import time
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.stores import StoreUnavailable, examine, examine_study

AT_ONCE = 15.0
"""Seconds, on a busy machine; MLflow alone takes a hundred for some."""


def refused(ask: object, uri: str, remedy: str) -> UserError:
    started = time.monotonic()
    with pytest.raises(UserError, match=remedy) as caught:
        ask(uri)  # type: ignore[operator]
    assert time.monotonic() - started < AT_ONCE
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("sqlite:///", "names no file"),
        ("sqlite://", "names no file"),
        ("sqlite:///file:x?mode=memory&uri=true", "names no file"),
        ("sqlite:////tmp/x.db?mode=ro", r"parameters .* use sqlite:////tmp/x.db"),
        ("sqlite:////tmp", "it is a folder; name a file, such as sqlite:////tmp/mlflow.db"),
        ("runs.db", "for a database file write sqlite:///runs.db"),
        ("localhost:5000", "write http://localhost:5000"),
        ("journal:///j.log", "Optuna study and no runs"),
        ("redis://:secret@h/0", "Optuna study and no runs"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:9/x", r"needs the Python package psycopg2.*postgresql\+psycopg"),
        ("mysql+pymysql://me:secret@127.0.0.1:9/x", "needs the Python package pymysql"),
        ("postgresql://me:secret@127.0.0.1:9/x", "is the server running"),
        ("postgresql://me:secret@127.0.0.1:notaport/x", "cannot be used"),
        ("http://me:secret@127.0.0.1:9", "no MLflow server answers"),
        ("http://me:secret@[::1", "is not an address"),
    ],
)
def test_a_tracking_store_is_answered_at_once(uri: str, remedy: str) -> None:
    refused(examine, uri, remedy)


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("sqlite:///", "names no file"),
        ("sqlite:////tmp", "it is a folder"),
        ("journal:///", "names no file"),
        ("journal:////tmp", "it is a folder"),
        ("redis://:secret@127.0.0.1:9/0", "not kept in Redis"),
        ("http://me:secret@h:5000", "not by a web server"),
        ("study.log", "write journal:///study.log"),
        ("./optuna.db", "write sqlite:///optuna.db"),
        ("ftp://me:secret@h/x", "no storage of this kind"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:9/x", "needs the Python package psycopg2"),
    ],
)
def test_a_study_storage_is_answered_at_once(uri: str, remedy: str) -> None:
    refused(examine_study, uri, remedy)


def test_what_may_come_back_is_told_from_what_stays() -> None:
    assert isinstance(refused(examine, "postgresql://me@127.0.0.1:9/x", "running"), StoreUnavailable)
    assert not isinstance(refused(examine, "mysql://me@127.0.0.1:9/x", "package"), StoreUnavailable)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(examine, f"sqlite:///{tmp_path / 'pipe'}", "is not a regular file")
    refused(examine_study, f"journal:///{tmp_path / 'pipe'}", "is not a regular file")


def test_an_empty_file_stays_empty(tmp_path: Path) -> None:
    (empty := tmp_path / "mlflow.db").touch()
    examine(f"sqlite:///{empty}")
    assert empty.stat().st_size == 0


@pytest.fixture
def store(tmp_path: Path, fresh_stores: Path) -> Path:
    path = tmp_path / "mlflow.db"
    path.write_bytes((fresh_stores / "mlflow.db").read_bytes())
    return path


def test_a_file_that_was_cut_off_is_said_with_a_remedy(store: Path) -> None:
    content = store.read_bytes()
    for kept in (len(content) // 2, 5000, 90):
        store.write_bytes(content[:kept])
        refused(examine, f"sqlite:///{store}", "cannot be written: the file is .*recover")
        assert store.read_bytes() == content[:kept]


def test_a_damaged_page_is_said_with_a_remedy(store: Path) -> None:
    content = bytearray(store.read_bytes())
    content[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    store.write_bytes(content)
    refused(examine, f"sqlite:///{store}", "the file is damaged .*recover")
    assert store.read_bytes() == bytes(content)
