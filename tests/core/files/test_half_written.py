"""Whose a half-written file is can be told from its name, and so whether anybody still writes it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dualpt.core.files import half_written
from dualpt.core.files.half_written import is_half_written, part_of, writer_is_gone, written_whole

HOST = socket.gethostname()


def test_a_part_is_its_processs_own() -> None:
    assert part_of(Path("/a/setting.json")) == Path(f"/a/.setting.json.{HOST}-{os.getpid()}.part")


def fail_in_the_middle(path: Path) -> None:
    with written_whole(path) as part:
        part.write_text("half")
        raise ZeroDivisionError


def test_a_file_is_there_when_it_is_whole_and_not_at_all_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in_the_middle(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
    with written_whole(tmp_path / "a") as part:
        part.write_text("whole")
        assert not (tmp_path / "a").exists()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "whole")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [(".setting.json.host-1.part", True), (".setting.json.part", True), ("book.part", False), ("setting.json", False)],
)
def test_half_written_files_are_known_by_their_names(name: str, expected: bool) -> None:
    assert is_half_written(name) is expected


def test_a_writer_is_gone_once_its_process_has_ended() -> None:
    writer = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    part = Path(f".a.b-1.c.{HOST}-{writer.pid}.part")
    assert not writer_is_gone(part)
    writer.communicate()
    assert writer_is_gone(part)


@pytest.mark.parametrize(
    "name", [f".a.x{HOST}-4194305.part", f".a.{HOST}-x.part", f".a.{HOST}.part", ".a.part", f".a.{HOST}-4194305.json"]
)
def test_nobody_knows_of_other_machines_and_names(name: str) -> None:
    assert not writer_is_gone(Path(name))


def test_a_host_may_be_called_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_written.socket, "gethostname", lambda: "gpu-7.rack-2.lab")
    part = part_of(Path("a.json"))
    assert part.name == f".a.json.gpu-7.rack-2.lab-{os.getpid()}.part"
    assert not writer_is_gone(part)
    assert writer_is_gone(Path(".a.json.gpu-7.rack-2.lab-4194305.part"))  # no process has such an id
    monkeypatch.setattr(half_written.socket, "gethostname", lambda: "rack-2.lab")
    assert not writer_is_gone(Path(".a.json.gpu-7.rack-2.lab-x.part"))
