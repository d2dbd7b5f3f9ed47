"""A dataset's folder, assembled beside where it will lie and moved there when it is complete.

Everything is made in a hidden folder inside the dataset's. What a killed run left there is used by the next one with
the same plan, and removed by any other. Nothing is ever written through a link, so a user's own tree stays unchanged.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dualpt.core.data.digests import DIGEST_BYTES
from dualpt.core.data.preparing.manifest import FILE_NAME, Manifest, load_manifest
from dualpt.core.errors import StorageError, UserError
from dualpt.core.files.locations import unwritable
from dualpt.core.files.regular import check_regular

STAGING = ".preparing-"
REMEDY = "make room or set its permissions, and run again: what is done already is kept"


@contextmanager
def written_to(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into one line."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise unwritable(folder, error, REMEDY) from None


class Assembly:
    """Files and links on their way into a dataset's folder.

    Args:
        folder: the dataset's folder; it need not exist.
        plan: fingerprint of what is to be done; what another plan left is removed.
    """

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder = folder
        self._staging = folder / f"{STAGING}{plan[:16]}"
        with written_to(folder):
            for left in folder.glob(f"{STAGING}*"):
                if left != self._staging:
                    shutil.rmtree(left)
            self._staging.mkdir(parents=True, exist_ok=True)
        self._made: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether a killed run had everything ready, the manifest last."""
        return (self._staging / FILE_NAME).exists()

    def write(self, path: str, pieces: Iterable[bytes]) -> str:
        """Write a file, which gets its name when it is complete; one that a killed run completed stays.

        Returns:
            BLAKE2b of its bytes, as of stored features.
        """
        with written_to(self.folder):
            target = self._place(path)
            if os.path.exists(target):
                return _digest(pieces_of(target))
            part = f"{target}.part"
            with open(part, "wb") as file:
                digest = _digest(_passing(pieces, file))
            os.replace(part, target)
            return digest

    def link(self, path: str, source: str) -> None:
        """Link to a file or folder of the user's; a link that a killed run left is the same link."""
        with written_to(self.folder), suppress(FileExistsError):
            os.symlink(source, self._place(path))

    def commit(self) -> None:
        """Move everything into the dataset's folder; files that lie there stay."""
        _commit(self._staging, self.folder)

    def save(self, manifest: Manifest) -> None:
        """Put the manifest to the rest, which is complete with it."""
        manifest.save(self._staging)

    def discard(self) -> None:
        """Remove what was made, and the dataset's folder if nothing else is in it."""
        shutil.rmtree(self._staging, ignore_errors=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _place(self, path: str) -> str:
        above, _, _ = path.rpartition("/")
        if above not in self._made:
            (self._staging / above).mkdir(parents=True, exist_ok=True)
            self._made.add(above)
        return f"{self._staging}/{path}"


def finish_interrupted(folder: Path) -> None:
    """Move in what a run had ready when it was killed.

    Args:
        folder: a dataset's folder; it need not exist.
    """
    for staging in folder.glob(f"{STAGING}*"):
        if (staging / FILE_NAME).exists():
            _commit(staging, folder)


def _commit(staging: Path, folder: Path) -> None:
    """Move everything in, the manifest last. Links of an earlier run that the new one doesn't have give way."""
    with written_to(folder):
        earlier, new = load_manifest(folder), load_manifest(staging)
        links = {} if new is None else new.links
        old = {} if earlier is None else earlier.links
        _merge(str(staging), str(folder), "", {path: to for path, to in old.items() if links.get(path) != to})
        os.replace(staging / FILE_NAME, folder / FILE_NAME)
        shutil.rmtree(staging)


def pieces_of(file: str) -> Iterator[bytes]:
    """The bytes of a user's file.

    Raises:
        UserError: it can't be read, or is a pipe or device; neither is a fault of the data root's disk.
    """
    check_regular(Path(file))
    try:
        with open(file, "rb") as content:
            while piece := content.read(2**20):
                yield piece
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); set its permissions") from None


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _passing(pieces: Iterable[bytes], file: IO[bytes]) -> Iterator[bytes]:
    """The pieces, each also written to a file."""
    for piece in pieces:
        file.write(piece)
        yield piece


def _merge(source: str, target: str, path: str, replaced: Mapping[str, str]) -> None:
    # Listed once: asking for each name costs as much as making its link. Some disks don't tell cases apart.
    taken = {name.casefold() for name in os.listdir(target)}
    for name in sorted(os.listdir(source)):
        inner = f"{path}{name}"
        if name.endswith(".part") or inner == FILE_NAME:
            continue
        new, there = f"{source}/{name}", f"{target}/{name}"
        may_be_there = name.casefold() in taken
        if may_be_there and os.path.islink(there) and replaced.get(inner) == os.readlink(there):
            os.unlink(there)
        if not may_be_there or not os.path.lexists(there):
            os.rename(new, there)
        elif os.path.isdir(new) and not os.path.islink(new) and os.path.isdir(there) and not os.path.islink(there):
            _merge(new, there, f"{inner}/", replaced)
