"""What is removed, and what must stay: everything that may be in use or somebody else's."""

import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from dualpt.core.files.half_written import part_of
from dualpt.sweeps.driver_marker import NAME, DriverMarker, mark, read_marker, started_at
from dualpt.sweeps.tools import leftovers
from dualpt.sweeps.tools.leftovers import clean, find_leftovers

OLD = 2 * leftovers.DAY
STORE = "sqlite:///project/mlflow.db"
GONE = DriverMarker(socket.gethostname(), 2**22 + 1, 5)
"""No process has such an id (the kernel's largest is 2^22)."""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: nothing of the real one is looked at, and no other dualpt runs."""
    monkeypatch.setenv("DUALPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(leftovers, "_processes", lambda: iter([]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tmp" / "ray").mkdir(parents=True)
    return tmp_path


def put(path: Path, age: float = OLD, content: bytes = b"x" * 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for changed in (path, path.parent, path.parent.parent):
        age_of(changed, age)
    return path


def age_of(path: Path, age: float) -> None:
    then = time.time() - age
    os.utime(path, (then, then))


def session(machine: Path, name: str, marker: DriverMarker | None = None, age: float = 0) -> Path:
    folder = machine / "tmp" / "ray" / f"session_{name}_1"
    put(folder / "logs" / "raylet.out", age)
    if marker is not None:
        put(folder / NAME, age, json.dumps(asdict(marker)).encode())
    age_of(folder, age)
    return folder


def said(remove: bool = False) -> tuple[int, str]:
    out = io.StringIO()
    return clean(Console(file=out, width=300), store=STORE, remove=remove), out.getvalue()


def found() -> set[Path]:
    return {leftover.path for leftover in find_leftovers(STORE).leftovers}


@pytest.mark.parametrize(
    "place",
    [
        "tmp/dualpt-tune-ab12_cd3/trial/file",
        "tmp/dualpt-job-ab12_cd3/file",
        "tmp/dualpt-ab12_cd3/file",
        "cache/checkpoints/0123.safetensors",
        "cache/checkpoints/0123.division2",
        "cache/checkpoints/0123.safetensors.77.part",
        "cache/checkpoints/.0123.safetensors.another-machine-77.part",
        "project/mlartifacts/small/0123/artifacts/.setting.json.part",
        "project/mlartifacts/small/0123/artifacts/.setting.json.another-machine-77.part",
        "cache/features/folder/.tmp-00aa",
        "cache/file-hashes/.tmp-00aa",
        "cache/outbox/0123/.lock",
    ],
)
def test_what_a_killed_process_left_is_listed_and_removed_only_when_asked(machine: Path, place: str) -> None:
    path = put(machine / place)
    code, text = said()
    assert (code, path.exists()) == (0, True)
    assert "dualpt doctor --clean --yes" in text
    assert "2.0 days" in text
    code, text = said(remove=True)
    assert (code, path.exists()) == (0, False)
    assert found() == set()
    assert "nothing is left over" in said()[1]


@pytest.mark.parametrize(
    ("place", "age"),
    [
        ("tmp/dualpt-tune-ab12_cd3/trial/file", 60),
        ("cache/checkpoints/0123.safetensors", 60),
        ("cache/checkpoints/0123.division0", 60),
        ("cache/features/folder/.tmp-00aa", 60),
        ("tmp/dualpt-notes/file", OLD),
        ("tmp/dualpt-tests-ab12_cd3/file", OLD),
        ("tmp/other-ab12_cd3/file", OLD),
        ("cache/features/folder/features.npy", OLD),
        ("cache/outbox/0123/result.json", OLD),
        ("project/mlartifacts/small/0123/artifacts/book.part", OLD),
    ],
)
def test_what_is_young_or_not_ours_stays(machine: Path, place: str, age: float) -> None:
    path = put(machine / place, age)
    assert found() == set()
    said(remove=True)
    assert path.exists()


@pytest.mark.parametrize(
    "folder", ["cache/checkpoints", "cache/features/folder", "project/mlartifacts/small/0123/artifacts"]
)
def test_a_half_written_file_is_listed_once_its_process_has_ended(machine: Path, folder: str) -> None:
    target = machine / folder / "setting.json"
    own, old = put(part_of(target), 0), put(target.with_name(".per_class.json.part"), 60)
    theirs = put(target.with_name(f".setting.json.another-machine-{GONE.pid}.part"), 60)
    gone = put(target.with_name(f".setting.json.{socket.gethostname()}-{GONE.pid}.part"), 0)
    assert found() == {gone}
    said(remove=True)
    assert [path.exists() for path in (own, old, theirs, gone)] == [True, True, True, False]


def test_half_written_files_of_ended_processes_are_listed_while_others_run(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_processes", lambda: iter([(1, "/venv/bin/dualpt sweep mini-grid")]))
    gone = put(machine / "cache/checkpoints" / f".a.safetensors.{socket.gethostname()}-{GONE.pid}.part", 0)
    put(machine / "cache/checkpoints" / ".a.safetensors.another-machine-77.part")
    assert found() == {gone}


def test_results_that_wait_in_an_outbox_keep_its_lock_too(machine: Path) -> None:
    result, lock = put(machine / "cache/outbox/0123/cell.json"), put(machine / "cache/outbox/0123/.lock")
    said(remove=True)
    assert result.exists()
    assert lock.exists()


def test_an_outbox_whose_artifacts_were_delivered_goes_with_its_folder(machine: Path) -> None:
    lock = put(machine / "cache/outbox/0123/.lock")
    (machine / "cache/outbox/0123/artifacts").mkdir()
    put(machine / "cache/outbox/notes", OLD)  # no folder
    said(remove=True)
    assert not lock.parent.exists()
    waiting = put(machine / "cache/outbox/0124/artifacts/cell.json")
    lock = put(machine / "cache/outbox/0124/.lock")
    said(remove=True)
    assert waiting.exists()
    assert lock.exists()


def test_a_lock_that_is_held_stays_and_is_named(machine: Path) -> None:
    lock = put(machine / "cache/outbox/0123/.lock", content=b"")
    with FileLock(lock):
        age_of(lock, OLD)
        age_of(lock.parent, OLD)
        code, text = said(remove=True)
    assert code == 2
    assert f"{lock}: in use" in text
    assert lock.exists()


def test_while_dualpt_runs_only_ray_sessions_are_removed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, old = put(machine / "cache/checkpoints/0123.safetensors"), session(machine, "a", GONE)
    monkeypatch.setattr(leftovers, "_processes", lambda: iter([(77, "python /usr/bin/dualpt sweep demo")]))
    code, text = said(remove=True)
    assert code == 0
    assert "dualpt is running (process 77)" in text
    assert checkpoint.exists()
    assert not old.exists()


@pytest.mark.parametrize(
    ("command", "sweeps"),
    [
        ("/venv/bin/python /venv/bin/dualpt sweep demo", True),
        ("python -m dualpt.sweeps.cli ablate x", True),
        ("ray::GridTrial.train()", True),
        ("ray::IDLE", False),
        ("vim /home/me/dualpt-notes.txt", False),
        ("python train.py", False),
    ],
)
def test_drivers_and_workers_are_known_by_their_command_lines(
    command: str, sweeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_processes", lambda: iter([(77, command), (os.getpid(), "dualpt doctor")]))
    assert find_leftovers(STORE).running == ([77] if sweeps else [])


def test_sessions_of_drivers_that_live_or_ran_elsewhere_stay(machine: Path) -> None:
    alive = session(machine, "alive")
    mark(alive)
    elsewhere = session(machine, "elsewhere", DriverMarker("another-machine", 1, 5), OLD)
    assert found() == set()
    said(remove=True)
    assert alive.exists()
    assert elsewhere.exists()
    assert read_marker(alive) == DriverMarker(socket.gethostname(), os.getpid(), started_at(os.getpid()))


def test_a_later_process_of_the_same_id_is_not_the_driver() -> None:
    now = started_at(os.getpid())
    assert now is not None
    assert not DriverMarker(socket.gethostname(), os.getpid(), now).is_gone
    assert DriverMarker(socket.gethostname(), os.getpid(), now - 1).is_gone


def test_sessions_that_may_be_anothers_are_left_with_the_command_that_removes_them(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young, used = session(machine, "a", age=OLD), session(machine, "b"), session(machine, "c", age=OLD)
    for folder in (old, used):
        age_of(folder / "logs", OLD)
    monkeypatch.setattr(leftovers, "_processes", lambda: iter([(77, f"gcs_server --log_dir={used}/logs")]))
    code, text = said(remove=True)
    assert code == 0
    assert f"rm -r {old}" in text
    assert str(young) not in text
    assert str(used) not in text
    assert old.exists()


def test_a_damaged_marker_makes_a_session_nobodys(machine: Path) -> None:
    folder = session(machine, "a", age=OLD)
    put(folder / NAME, OLD, b'{"host": ')
    assert find_leftovers(STORE).leftovers == []


def test_processes_that_outlived_their_driver_end_with_its_session(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = session(machine, "a", GONE)
    agent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "/ray/dashboard/agent.py", folder])
    pager = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", folder])
    commands = {process.pid: " ".join(map(str, process.args)) for process in (agent, pager)}  # type: ignore[arg-type]
    monkeypatch.setattr(leftovers, "_processes", lambda: iter(commands.items()))
    monkeypatch.setattr(leftovers, "END_SECONDS", 0.5)
    try:
        assert "Ray session, 1 process still there" in said()[1]
        assert said(remove=True)[0] == 0
        assert agent.wait(5) < 0
        assert pager.poll() is None
        assert not folder.exists()
    finally:
        for process in (agent, pager):
            process.kill()
            process.wait()
