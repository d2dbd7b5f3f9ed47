"""A dataset's folder, assembled beside where it will lie and moved there when it is complete.

Files are written to a hidden folder inside the dataset's. What a killed run left there is used by the next one with
the same plan, and removed by any other. Links are made in their place, once the manifest in the hidden folder lists
them: a link is never half made, and moving it would cost as much again. Nothing is ever written through a link, so a
user's own tree stays unchanged.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dualpt.core.data.digests import DIGEST_BYTES
from dualpt.core.data.preparing.manifest import FILE_NAME, Manifest, load_manifest
from dualpt.core.errors import StorageError, UserError
from dualpt.core.files.inside import why_outside
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
            BLAKE2b of its bytes, as for stored features.
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

    def commit(self, progress: Callable[[int], None]) -> None:
        """Make the manifest's links in the dataset's folder and move everything else there; what lies there stays.

        Args:
            progress: called with the number of links that are done.
        """
        _commit(self._staging, self.folder, progress)

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
            _commit(staging, folder, lambda done: None)


def _commit(staging: Path, folder: Path, progress: Callable[[int], None]) -> None:
    """Bring everything in, the manifest last. Links of an earlier run that the new one doesn't have give way."""
    with written_to(folder):
        earlier, new = load_manifest(folder), load_manifest(staging)
        # A data root may come from others, and its manifests with it.
        links = {} if new is None else {path: to for path, to in new.links.items() if why_outside(path) is None}
        old = {} if earlier is None else earlier.links
        replaced = {path: to for path, to in old.items() if links.get(path) != to}
        _make_links(str(folder), links, replaced, progress)
        _merge(str(staging), str(folder), "", replaced)
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


def _make_links(
    folder: str, links: Mapping[str, str], replaced: Mapping[str, str], progress: Callable[[int], None]
) -> None:
    """Links to files and folders of the user's; one that a killed run made is the same link."""
    ours: dict[str, bool] = {}
    for done, (path, to) in enumerate(links.items(), 1):
        above, _, _ = path.rpartition("/")
        if above not in ours:
            ours[above] = _make_folder(folder, above, replaced)
        if ours[above]:
            try:
                os.symlink(to, f"{folder}/{path}")
            except FileExistsError:
                if _gives_way(f"{folder}/{path}", replaced.get(path)):
                    os.symlink(to, f"{folder}/{path}")
        progress(done)


def _make_folder(folder: str, path: str, replaced: Mapping[str, str]) -> bool:
    """Make a folder and those above it; False where something else lies in their place, as a link of the user's."""
    inner = ""
    for step in path.split("/") if path else ():
        inner = f"{inner}/{step}".lstrip("/")
        there = f"{folder}/{inner}"
        if not os.path.lexists(there) or _gives_way(there, replaced.get(inner)):
            os.mkdir(there)
        elif os.path.islink(there) or not os.path.isdir(there):
            return False
    return True


def _gives_way(there: str, to: str | None) -> bool:
    """Remove a link if it leads to where an earlier run's link did; whether it was one."""
    gives_way = to is not None and os.path.islink(there) and os.readlink(there) == to
    if gives_way:
        os.unlink(there)
    return gives_way


def _merge(source: str, target: str, path: str, replaced: Mapping[str, str]) -> None:
    # Listed once: asking for each name costs as much as moving it. Some disks don't tell cases apart.
    taken = {name.casefold() for name in os.listdir(target)}
    for name in sorted(os.listdir(source)):
        inner = f"{path}{name}"
        if name.endswith(".part") or inner == FILE_NAME:
            continue
        new, there = f"{source}/{name}", f"{target}/{name}"
        may_be_there = name.casefold() in taken
        if not may_be_there or not os.path.lexists(there) or _gives_way(there, replaced.get(inner)):
            os.rename(new, there)
        elif os.path.isdir(new) and not os.path.islink(new) and os.path.isdir(there) and not os.path.islink(there):
            _merge(new, there, f"{inner}/", replaced)
