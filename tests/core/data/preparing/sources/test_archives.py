"""Archives are untrusted: nothing leaves the target, nothing grows without bound, and what is cut off is said."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from dualpt.core.data.preparing.sources.archives import UnmarkedEnd, chunks, is_archive, members
from dualpt.core.errors import UserError
from tests.core.data.preparing.miniatures import tar_of, zip_of

FILES = {"dtd/images/banded/a.jpg": b"first", "dtd/images/banded/b.jpg": b"second"}


def content(archive: Path) -> dict[str, bytes]:
    return {member.path: b"".join(chunks(archive, member)) for member in members(archive)}


def fault(archive: Path) -> str:
    with pytest.raises(UserError) as caught:
        content(archive)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{archive}: ")
    return str(caught.value)


def tar_with(path: Path, name: str, kind: bytes, link: str = "") -> Path:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_what_its_content_says(tmp_path: Path, mode: str) -> None:
    archive = tmp_path / "imagenetv2.tar.gz"  # which is a plain tar on some mirrors
    archive.write_bytes(tar_of(FILES, mode))
    assert content(archive) == FILES


def test_a_zip_without_what_macos_adds(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    archive.write_bytes(zip_of(FILES | {"__MACOSX/dtd/._a.jpg": b"?", "dtd/.DS_Store": b"?"}))
    assert content(archive) == FILES


def test_archives_within(tmp_path: Path) -> None:
    archive = tmp_path / "ILSVRC2012_img_train.tar"
    classes = {"n01440764.tar": tar_of({"n01440764_1.JPEG": b"1"}), "n03773504.tar": tar_of({"n03773504_2.JPEG": b"2"})}
    archive.write_bytes(tar_of(classes))
    assert content(archive) == {"n01440764.tar/n01440764_1.JPEG": b"1", "n03773504.tar/n03773504_2.JPEG": b"2"}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../evil.jpg", "leads out of its folder"),
        ("dtd/../../evil.jpg", "leads out of its folder"),
        ("/etc/evil.jpg", "is absolute"),
        ("C:/evil.jpg", "is absolute"),
        ("dtd/" + "a" * 300, "has a component of more than 255 bytes"),
        ("dtd/a\n.jpg", "holds control characters"),
    ],
)
@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_no_path_leads_out(tmp_path: Path, path: str, why: str, pack: object) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(pack({path: b"evil"}))  # type: ignore[operator]
    assert why in fault(archive)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../etc/passwd"),
        (tarfile.SYMTYPE, "a/../../../etc"),
        (tarfile.LNKTYPE, "../passwd"),
        (tarfile.LNKTYPE, "/etc/passwd"),
    ],
)
def test_no_link_leads_out(tmp_path: Path, kind: bytes, target: str) -> None:
    assert "leads out of the archive" in fault(tar_with(tmp_path / "a.tar", "dtd/evil.jpg", kind, target))


def test_a_link_of_a_zip_leads_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("dtd/evil.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "../../../etc/passwd")
    assert "leads out of the archive" in fault(tmp_path / "a.zip")


def test_a_link_that_stays_inside_is_passed_over(tmp_path: Path) -> None:
    assert content(tar_with(tmp_path / "a.tar", "dtd/images/a.jpg", tarfile.SYMTYPE, "../b.jpg")) == {}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_no_device(tmp_path: Path, kind: bytes) -> None:
    assert "is a device" in fault(tar_with(tmp_path / "a.tar", "dtd/a.jpg", kind))


class TestSizes:
    def test_a_bomb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dualpt.core.data.preparing.sources.archives.ALLOWANCE", 2**16)
        for name, packed in (("a.tgz", tar_of({"a.jpg": bytes(2**21)}, "w:gz")), ("a.zip", deflated(bytes(2**21)))):
            (tmp_path / name).write_bytes(packed)
            assert "unpacks to more than 20 times its size" in fault(tmp_path / name)

    def test_a_member_larger_than_any_image(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dualpt.core.data.preparing.sources.archives.LARGEST_MEMBER", 4)
        (tmp_path / "a.tar").write_bytes(tar_of({"a.jpg": b"large"}))
        assert "'a.jpg' has 5 bytes, more than any image" in fault(tmp_path / "a.tar")


def deflated(file: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", file)
    return packed.getvalue()


class TestDamage:
    @pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
    def test_truncated_anywhere(self, tmp_path: Path, mode: str, share: float) -> None:
        noise = {f"{n}.jpg": os.urandom(3000) for n in range(12)}
        packed = tar_of(noise, mode)
        packed = packed[: packed.rindex(b"11.jpg") + 3400] if mode == "w" else packed
        (tmp_path / "a.tar").write_bytes(packed[: int(len(packed) * share)])
        assert "truncated" in fault(tmp_path / "a.tar")

    def test_a_truncated_zip(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zip_of(FILES)[:-30])
        assert "truncated or damaged" in fault(tmp_path / "a.zip")

    def test_changed_bytes_in_a_zip(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zip_of(FILES).replace(b"second", b"sec0nd"))
        assert "truncated or damaged (Bad CRC-32" in fault(tmp_path / "a.zip")

    def test_a_damaged_header_in_the_middle_is_no_end(self, tmp_path: Path) -> None:
        """`tarfile` stops at it without an error."""
        packed = tar_of(FILES)
        (tmp_path / "a.tar").write_bytes(packed[:1024] + b"x" * 512 + packed[1536:])
        assert "truncated or damaged" in fault(tmp_path / "a.tar")

    def test_no_end_marker(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar_of(FILES)[: 2 * 1024])
        with pytest.raises(UnmarkedEnd, match="ends without an end marker"):
            content(tmp_path / "a.tar")

    def test_a_single_block_of_zeros_is_an_end(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tar_of(FILES)[: 2 * 1024 + 512])
        assert content(tmp_path / "a.tar") == FILES

    def test_an_archive_within_must_be_complete(self, tmp_path: Path) -> None:
        inner = tar_of({"n01440764_1.JPEG": b"1"})[:1024]
        (tmp_path / "a.tar").write_bytes(tar_of({"n01440764.tar": inner}))
        assert "it ends before its end marker" in fault(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (b"<!DOCTYPE html>", "is a web page, not an archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"Rar!\x1a\x07", "is a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
        (b"nothing known", "truncated or damaged"),
        (b"", "truncated or damaged (empty file)"),
    ],
)
def test_what_lies_in_place_of_an_archive(tmp_path: Path, start: bytes, why: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(start)
    assert why in fault(tmp_path / "a.tar.gz")


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tar")
    assert "is a named pipe" in fault(tmp_path / "a.tar")


def test_names_of_archives() -> None:
    assert all(map(is_archive, ("a.tar", "b.TGZ", "c.tar.gz", "d.zip", "e.tar.xz", "f.rar", "g.tar.zst")))
    assert not any(map(is_archive, ("a.jpg", "b.json", "tar", "c.gzip")))
