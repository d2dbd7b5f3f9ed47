"""`dualpt board` from its address to Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.board.serving import hosts_of, is_loopback, links_to, listening, serve_board, url_of
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare

NO_STUDY = "sqlite:///no-study.db"


def test_it_says_its_address_serves_and_ends_cleanly(done: LoadedSweep, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dualpt.sweeps.cli", "board", "small", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--store", done.file.run.tracking_uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
    assert found is not None
    assert requests.get(found[0], timeout=30).status_code == 200
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=20)
    assert (process.returncode, printed.strip(), errors) == (0, "board closed", "")


def test_a_taken_port_is_one_line(declare: Declare, log: Path) -> None:
    sweep = declare()
    train_here(sweep, log, stop_after=1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"--port: {port} is taken by another program; choose another one"):
            serve_board(
                Console(quiet=True),
                [],
                store=sweep.file.run.tracking_uri,
                study=NO_STUDY,
                host="127.0.0.1",
                port=port,
                mlflow=None,
                optuna=None,
            )


def test_an_address_of_another_machine_is_one_line() -> None:
    for host in ("203.0.113.7", "no.such.host.invalid"):
        with pytest.raises(UserError, match=f"--host: {host}"):
            listening(host, 0)


def test_an_unknown_sweep_or_store_is_refused_before_anything_is_served(declare: Declare, log: Path) -> None:
    sweep = declare()
    train_here(sweep, log, stop_after=1)
    options = {"study": NO_STUDY, "host": "127.0.0.1", "port": 0, "mlflow": None, "optuna": None}
    with pytest.raises(UserError, match="did you mean 'small'"):
        serve_board(Console(quiet=True), ["smal"], store=sweep.file.run.tracking_uri, **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no such tracking store"):
        serve_board(Console(quiet=True), [], store="sqlite:////nowhere/mlflow.db", **options)  # type: ignore[arg-type]


def test_loopback_alone_is_answered_unless_told() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "host")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert not hosts_of("127.0.0.1").answers("10.0.0.1")
    assert hosts_of("0.0.0.0").answers("10.0.0.1")
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of("0.0.0.0", listener) == f"http://127.0.0.1:{port}/"
        assert url_of("::1", listener) == f"http://[::1]:{port}/"


def test_links_are_addresses_without_passwords_or_the_commands_that_serve_them() -> None:
    links = links_to("http://me:secret@host:5000/", "sqlite:///optuna.db", mlflow=None, optuna="http://o:8080")
    assert (links.mlflow, links.optuna, links.commands) == ("http://host:5000", "http://o:8080", [])
    links = links_to("postgresql://me:secret@db/runs", "sqlite:///a b.db", mlflow=None, optuna=None)
    assert links.commands[0].startswith("mlflow ui --backend-store-uri ")
    assert "secret" not in "".join(links.commands)
    assert links.commands[1] == "optuna-dashboard 'sqlite:///a b.db'"
    for address in ("javascript:alert(1)", "ftp://host", "http://"):
        with pytest.raises(UserError, match="--mlflow: expected an address"):
            links_to("sqlite:///mlflow.db", NO_STUDY, mlflow=address, optuna=None)
