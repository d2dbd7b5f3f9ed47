"""Fingerprints depend on content alone, and cache files appear whole or not at all."""

import hashlib
import os
from pathlib import Path

import pytest

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import file_sha256, fingerprint, rows_fingerprint
from dualpt.core.files.locations import cache_root, write_atomically


def test_key_order_does_not_matter_and_list_order_does() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint("1") != fingerprint(1)


def test_rows_are_told_apart_from_their_concatenation() -> None:
    assert rows_fingerprint([("ab", "c")]) != rows_fingerprint([("a", "bc")])
    assert rows_fingerprint([("a",), ("b",)]) != rows_fingerprint([("a", "b")])


def test_many_rows_are_hashed_as_one_text() -> None:
    rows = [("train", f"{number}.jpg", number) for number in range(10_000)]
    text = "".join(f"train\0{number}.jpg\0{number}\n" for number in range(10_000))
    assert rows_fingerprint(rows) == hashlib.sha256(text.encode()).hexdigest()
    assert rows_fingerprint([]) == hashlib.sha256().hexdigest()


def test_an_unreadable_file_is_one_line(tmp_path: Path, private_cache: Path) -> None:
    with pytest.raises(UserError, match=r"gone: cannot be read \(No such file or directory\)"):
        file_sha256(tmp_path / "gone")


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPT_CACHE", "/somewhere/else")
    assert cache_root() == Path("/somewhere/else")
    monkeypatch.delenv("DUALPT_CACHE")
    assert cache_root() == Path.home() / ".cache" / "dualpt"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "file"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"cannot be written \(Input/output error\)"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"set DUALPT_CACHE to another folder"):
        write_atomically(tmp_path / "file" / "inside", "text")
