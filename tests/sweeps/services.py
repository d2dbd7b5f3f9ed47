"""Servers that a cluster's sweep needs, as real processes that a test may kill: PostgreSQL and MLflow."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

POSTGRES = max(
    Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), default=Path("/nowhere")
)
"""Programs of Debian's newest PostgreSQL."""
POSTGRES_MISSING = "PostgreSQL is not installed (/usr/lib/postgresql); apt-get install postgresql"
USER = "postgres"
"""Whom PostgreSQL runs as where the tests are root, which it refuses."""


def has_postgres() -> bool:
    return (POSTGRES / "postgres").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {seconds:g} s")
        time.sleep(0.1)


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all beneath it; PostgreSQL gives each of its processes a session of its own."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    _send(pid, signal.SIGKILL)
    for child in children:
        kill_tree(int(child))


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Postgres:
    """A database cluster in a folder of its own, gone with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dualpt-postgres-"))
        self._user = USER if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "dualpt", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def uri(self, database: str) -> str:
        return f"postgresql+psycopg://dualpt@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """A new database's URI."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "dualpt", database)
        return self.uri(database)

    def sql(self, database: str, statement: str) -> None:
        self._run(
            "psql", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "dualpt", "-d", database, "-c", statement
        )

    def start(self) -> None:
        command = [str(POSTGRES / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        command += ["-p", str(self.port), "-h", "127.0.0.1", "-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self._user, cwd=self.folder)
        wait_until(self._ready, "starting PostgreSQL")

    def kill(self) -> None:
        """As a crash would: every one of its processes at once."""
        assert self._process is not None
        kill_tree(self._process.pid)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        ask = [str(POSTGRES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def _run(self, program: str, *words: str) -> None:
        command = [str(POSTGRES / program), *words]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self.folder)


class MlflowServer:
    """A tracking server in a process group of its own; `await_answer` tells that it has started."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder, self._backend, self.port = folder, backend, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self._backend]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        # Without its consumers of background jobs: a dozen processes more, which nothing here needs.
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def await_answer(self) -> None:
        wait_until(self._ready, "starting the MLflow server")

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def supervise(self) -> None:
        """Start it again where it has ended by itself: it does not survive the loss of its database while it starts."""
        if self._process is not None and self._process.poll() not in (None, -signal.SIGKILL):
            self.start()

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "mlflow.log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
