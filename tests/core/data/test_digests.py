"""Image digests follow content, and a file that did not change is not read twice."""

import os
import shutil
from pathlib import Path

import pytest

from dualpt.core.data import digests as module
from dualpt.core.data.digests import DigestIndex
from dualpt.core.errors import UserError

PATHS = ["a/1.png", "a/2.png", "b/1.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for path in PATHS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"pixels of {path}")
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read."""
    read: list[Path] = []
    digest = module._digest

    def recorded(path: Path) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(module, "_digest", recorded)
    return read


def test_digests_follow_content_in_the_order_asked(tmp_path: Path, root: Path) -> None:
    index = DigestIndex(tmp_path / "index")
    first = index.digests(root, PATHS)
    assert len(set(first)) == 3
    assert index.digests(root, PATHS[::-1]) == first[::-1]
    (root / "a/1.png").write_text("pixels of b/1.png")
    assert index.digests(root, PATHS) == [first[2], first[1], first[2]]


def test_unchanged_files_are_read_once(tmp_path: Path, root: Path, reads: list[Path]) -> None:
    DigestIndex(tmp_path / "index").digests(root, PATHS)
    assert len(reads) == 3
    DigestIndex(tmp_path / "index").digests(root, PATHS)
    assert len(reads) == 3
    os.utime(root / "a/2.png", ns=(7, 7))
    DigestIndex(tmp_path / "index").digests(root, PATHS)
    assert len(reads) == 4


def test_an_equally_long_change_is_seen(tmp_path: Path, root: Path) -> None:
    index = DigestIndex(tmp_path / "index")
    before = index.digests(root, PATHS)
    (root / "a/1.png").write_text("PIXELS of a/1.png")
    os.utime(root / "a/1.png", ns=(7, 7))
    assert index.digests(root, PATHS)[0] != before[0]


def test_a_copied_root_has_the_same_digests(tmp_path: Path, root: Path) -> None:
    index = DigestIndex(tmp_path / "index")
    copied = shutil.copytree(root, tmp_path / "copied", copy_function=shutil.copy)
    assert index.digests(copied, PATHS) == index.digests(root, PATHS)


def test_indexes_of_several_processes_add_up(tmp_path: Path, root: Path, reads: list[Path]) -> None:
    one, other = DigestIndex(tmp_path / "index"), DigestIndex(tmp_path / "index")
    one.digests(root, PATHS[:1])
    other.digests(root, PATHS[1:])
    one.digests(root, PATHS[:2])
    reads.clear()
    DigestIndex(tmp_path / "index").digests(root, PATHS)
    assert reads == []


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a/1.png": 3}', '{"a/1.png": [1, 2]}'])
def test_a_damaged_index_is_made_anew(tmp_path: Path, root: Path, damage: str) -> None:
    expected = DigestIndex(tmp_path / "index").digests(root, PATHS)
    (file,) = (tmp_path / "index").iterdir()
    file.write_text(damage)
    assert DigestIndex(tmp_path / "index").digests(root, PATHS) == expected


def test_known_digests_are_of_unchanged_files_and_read_nothing(tmp_path: Path, root: Path, reads: list[Path]) -> None:
    index = DigestIndex(tmp_path / "index")
    assert index.known(root, PATHS) == {}
    digests = dict(zip(PATHS[:2], index.digests(root, PATHS[:2]), strict=True))
    reads.clear()
    assert DigestIndex(tmp_path / "index").known(root, PATHS) == digests
    (root / PATHS[0]).write_bytes(b"something longer than before")
    (root / PATHS[1]).unlink()
    assert index.known(root, PATHS) == {}
    assert reads == []


@pytest.mark.timeout(20)
def test_a_named_pipe_is_named_and_not_read(tmp_path: Path, root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    with pytest.raises(UserError, match=r"pipe.png: is a named pipe and not an image"):
        DigestIndex(tmp_path / "index").digests(root, ["pipe.png"])


def test_a_missing_image_is_named(tmp_path: Path, root: Path) -> None:
    with pytest.raises(UserError, match=r"gone.png: image missing; complete the images or set data.root"):
        DigestIndex(tmp_path / "index").digests(root, [*PATHS, "a/gone.png"])
