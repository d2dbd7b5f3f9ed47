"""What is kept in the cache, what is only remembered, and that a command which looks leaves no trace."""

import errno
import os
from pathlib import Path

import pytest
from filelock import Timeout

from dualpt.core.errors import StorageError
from dualpt.core.files.locations import holding, leaving_no_trace, remember, temporary_root, write_atomically


def test_bytes_and_text_are_written_as_they_are(tmp_path: Path) -> None:
    write_atomically(tmp_path / "text", "é\n")
    write_atomically(tmp_path / "bytes", b"\x00\xff")
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9\n"
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_is_remembered_while_no_trace_may_be_left(tmp_path: Path) -> None:
    with leaving_no_trace():
        remember(tmp_path / "folder" / "fact", "text")
        folder = temporary_root()
        assert folder is not None
        (folder / "large").mkdir()
        with leaving_no_trace():  # a command within a command
            assert temporary_root() == folder
        assert temporary_root() == folder
    assert not folder.exists()
    assert temporary_root() is None
    assert list(tmp_path.iterdir()) == []
    remember(tmp_path / "folder" / "fact", "text")
    assert (tmp_path / "folder" / "fact").read_text() == "text"


def test_what_is_only_remembered_may_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    remember(tmp_path / "fact", "text")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError, match="the disk is full; make room, or set DUALPT_CACHE"):
        write_atomically(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_and_its_folder_made(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "a.lock"
    with holding(lock), pytest.raises(Timeout), holding(lock, timeout=0):
        pass
    with holding(lock, timeout=0):
        pass


def test_a_lock_that_cannot_be_written_is_one_line() -> None:
    with pytest.raises(StorageError, match=r"^/dev/null/locks: .*DUALPT_CACHE"), holding(Path("/dev/null/locks/a")):
        pass


def test_an_error_while_a_lock_is_held_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), holding(tmp_path / "a.lock"):
        raise PermissionError(13, "of something else")
