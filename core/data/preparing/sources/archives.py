"""Archives as other people made them: read once, in order, and never trusted.

What an archive is, its content says and not its name: ImageNet-V2's `.tar.gz` may be a plain tar. Archives inside an
archive are read in the same pass where their names say that images are in them.
"""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dualpt.core.errors import UserError
from dualpt.core.files.inside import tidied, why_outside
from dualpt.core.files.regular import check_regular

SUFFIXES = (".tar", ".tgz", ".gz", ".tbz", ".tbz2", ".bz2", ".txz", ".xz", ".zip", ".rar", ".7z", ".zst")
"""Of files that are looked into; the last three are refused, with what to do."""
NESTED = re.compile(r"(?:.*/)?(?:n\d{8}\.tar|101_ObjectCategories\.tar\.gz)", re.IGNORECASE)
"""Archives inside archives that hold images: ImageNet's classes, and Caltech101's categories."""
LARGEST_MEMBER = 256 * 2**20
"""Bytes of one file that is taken out, at most; the largest images of these datasets have a few MB."""
LARGEST_RATIO, ALLOWANCE = 20, 64 * 2**20
"""An archive may unpack to `LARGEST_RATIO` times its own size and `ALLOWANCE` bytes: JPEG files hardly shrink."""
BLOCK = 512
"""Bytes of a tar block; a complete tar ends in at least one block of zeros."""
REFUSED = {
    b"<": "is a web page, not an archive: the download asked for a confirmation; fetch it again",
    b"version https": "is a Git LFS pointer, not the archive; run `git lfs pull` in its repository",
    b"Rar!": "is a RAR archive, which only other programs read; unpack it and give the folder",
    b"7z\xbc\xaf": "is a 7z archive, which only other programs read; unpack it and give the folder",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd, which isn't read here; unpack it and give the folder",
}
"""First bytes of what is often found in place of an archive."""
FAULTS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""What the readers of the standard library raise on damaged, encrypted and unusual archives."""


_Stream = IO[bytes] | gzip.GzipFile


class UnmarkedEnd(UserError):
    """A tar that ends where a file does, but without its end marker.

    GNU tar reads such archives without a word. They are complete, from a writer that wasn't closed, or cut off by
    chance at the end of a file: what was expected of them tells.
    """


@dataclass(frozen=True)
class Member:
    """A file in an archive; it can be read until the next one is asked for."""

    path: str
    """With forward slashes, and known to stay inside the folder it would be unpacked to."""
    size: int
    """Bytes."""
    content: "IO[bytes] | _Entry"


class _Entry:
    """What a zip's entry holds, opened when it is first read: a million that aren't wanted cost no disk access."""

    def __init__(self, opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        self._opened, self._entry = opened, entry
        self._content: IO[bytes] | None = None

    def read(self, size: int) -> bytes:
        self._content = self._content or self._opened.open(self._entry)
        return self._content.read(size)

    def close(self) -> None:
        if self._content is not None:
            self._content.close()


@contextmanager
def _one_line(archive: Path) -> Iterator[None]:
    try:
        yield
    except FAULTS as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{archive}: truncated or damaged ({reason:.120}); fetch the archive again") from None


def members(archive: Path) -> Generator[Member, None, None]:
    """The files of an archive in order, those of nested archives of images included.

    Raises:
        UserError: no archive, a damaged or truncated one, one that unpacks to far more than its size, or a member that
            would leave the folder it is unpacked to: by its path, as a link, or as a device.
    """
    check_regular(archive, "give the archive, or the folder it lies in")
    # What the taker of a member raises doesn't pass through here: generators raise only what they do themselves.
    with _one_line(archive), archive.open("rb") as file:
        start = file.read(16)
        file.seek(0)
        for beginning, reason in REFUSED.items():
            if start.lstrip().startswith(beginning):
                raise UserError(f"{archive}: {reason}")
        limit = LARGEST_RATIO * archive.stat().st_size + ALLOWANCE
        if start.startswith(b"PK"):
            yield from _zip_members(archive, limit)
        else:
            yield from _tar_members(archive, _Bounded(_decompressed(file, start), archive, limit), "")


def chunks(archive: Path, member: Member) -> Iterator[bytes]:
    """The content of a member, piece by piece.

    Raises:
        UserError: it is larger than any image, or the archive is damaged there.
    """
    if member.size > LARGEST_MEMBER:
        raise UserError(f"{archive}: '{member.path:.80}' has {member.size} bytes, more than any image; don't use it")
    left = member.size
    while left > 0:
        with _one_line(archive):
            piece = member.content.read(min(left, 2**20))
            if not piece:
                raise EOFError(f"'{member.path:.80}' ends too early")
        left -= len(piece)
        yield piece
    with _one_line(archive):
        member.content.read(1)  # a zip compares its checksum at the end


def lists_members(archive: Path) -> bool:
    """Whether an archive's list of members is read without its content, as a zip's is."""
    try:
        with archive.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False


def is_archive(name: str) -> bool:
    """Whether a file name is that of an archive that can be looked into."""
    return name.lower().endswith(SUFFIXES)


def _decompressed(file: IO[bytes], start: bytes) -> _Stream:
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if start.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(file)
    return file


class _Bounded(io.RawIOBase):
    """A stream that ends in an error after `limit` bytes, and that remembers what was read last."""

    def __init__(self, source: _Stream, archive: Path, limit: int) -> None:
        self._source, self._archive, self._left = source, archive, limit
        self._position, self._last = 0, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._source.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _bomb(self._archive)
        self._position += len(content)
        self._last = (self._last + content)[-tarfile.RECORDSIZE :]
        return content

    def block(self, offset: int) -> bytes:
        """What was read at an offset not long ago, one block at most."""
        start = offset - (self._position - len(self._last))
        return self._last[start : start + BLOCK]


def _bomb(archive: Path) -> UserError:
    return UserError(
        f"{archive}: unpacks to more than {LARGEST_RATIO} times its size, which no archive of images does; fetch the "
        "archive again"
    )


def _tar_members(archive: Path, source: _Bounded, above: str) -> Iterator[Member]:
    """Files of a tar that is read as a stream.

    Args:
        archive: the file that errors name.
        source: the tar, decompressed.
        above: path of a nested tar, which its members' paths begin with; empty for the archive itself.
    """
    with tarfile.open(fileobj=source, mode="r|") as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # they would pile up, and a stream can't go back to them anyway
            path = _checked(archive, above + info.name.rstrip("/"), info.isdir())
            if info.ischr() or info.isblk() or info.isfifo():
                raise UserError(f"{archive}: '{path:.80}' is a device, which no archive of images holds; don't use it")
            if info.issym() or info.islnk():
                _check_link(archive, path, info)
                continue
            content = tar.extractfile(info) if info.isfile() else None
            if content is None or _is_litter(path):
                continue
            if NESTED.fullmatch(path):
                inner = _Bounded(_nested(content), archive, LARGEST_RATIO * info.size + ALLOWANCE)
                yield from _tar_members(archive, inner, f"{path.removesuffix('.gz')}/")
            else:
                yield Member(path, info.size, content)
        # `tarfile` also stops without an error at a header that is damaged, and where the file ends.
        end = source.block(tar.offset)
    if not end and not above:
        raise UnmarkedEnd(f"{archive}: ends without an end marker, and may be truncated; fetch the archive again")
    if len(end) < BLOCK or end.strip(b"\0"):
        raise EOFError("it ends before its end marker")


def _nested(content: Any) -> _Stream:
    """A member that is itself a tar; both kinds of members can peek, which `IO` doesn't say."""
    return _decompressed(content, content.peek(16))


def _zip_members(archive: Path, limit: int) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
        if sum(entry.file_size for entry in entries) > limit:
            raise _bomb(archive)
        for entry in entries:
            path = _checked(archive, entry.filename.replace("\\", "/").rstrip("/"), entry.is_dir())
            kind = entry.external_attr >> 16 & 0o170000
            if kind == 0o120000:
                with opened.open(entry) as link:
                    _check_target(archive, path, link.read(4096).decode(errors="replace"))
                continue
            if kind in (0o020000, 0o060000, 0o010000):
                raise UserError(f"{archive}: '{path:.80}' is a device, which no archive of images holds; don't use it")
            if entry.is_dir() or _is_litter(path):
                continue
            if NESTED.fullmatch(path):
                with opened.open(entry) as content:
                    inner = _Bounded(_nested(content), archive, LARGEST_RATIO * entry.file_size + ALLOWANCE)
                    yield from _tar_members(archive, inner, f"{path.removesuffix('.gz')}/")
                continue
            with closing(_Entry(opened, entry)) as lazy:
                yield Member(path, entry.file_size, lazy)


def _checked(archive: Path, path: str, folder: bool) -> str:
    inner = tidied(path)
    if folder and not inner:
        return inner  # "./", the folder that the archive was made in
    if (reason := why_outside(inner)) is not None:
        raise UserError(f"{archive}: the member {path!r:.80} {reason}; don't use this archive")
    return inner


def _check_link(archive: Path, path: str, info: tarfile.TarInfo) -> None:
    if info.islnk():  # a hard link's target begins at the archive's top
        _check_target(archive, "", info.linkname)
    else:
        _check_target(archive, path, info.linkname)


def _check_target(archive: Path, path: str, target: str) -> None:
    """Refuse a link that leads out; one that stays inside is passed over, for the file it leads to is there itself."""
    steps: list[str] = [] if target.startswith("/") else path.split("/")[:-1]
    outside = target.startswith(("/", "~"))
    for step in target.split("/"):
        if step == ".." and not steps:
            outside = True
        elif step == "..":
            steps.pop()
        elif step not in ("", "."):
            steps.append(step)
    if outside:
        raise UserError(f"{archive}: the link '{path:.80}' leads out of the archive; don't use this archive")


def _is_litter(path: str) -> bool:
    """What macOS adds to archives, and hidden files."""
    return path.startswith("__MACOSX/") or path.rpartition("/")[2].startswith(".")
