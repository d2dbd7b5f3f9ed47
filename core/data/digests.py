"""Content digests of image files: stored features belong to pixels, not to places.

A digest is computed once; as long as a file keeps its size and modification time it is not read again. A moved or
copied data root is read once more, and then has the same digests.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import cache_root, remember
from dualpt.core.files.regular import check_regular, odd_kind

DIGEST_BYTES = 16
READERS = 8
"""Threads that read files: waiting for a disk or network file system costs no processor."""

Known = dict[str, tuple[int, int, str]]
"""Path -> size in bytes, modification time in ns, digest."""


class DigestIndex:
    """Digests under any number of image roots, kept in one JSON file per root.

    Args:
        folder: where the files are kept; they can be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, Known] = {}

    def digests(self, image_root: Path, paths: Sequence[str]) -> list[str]:
        """Digests (32 hex digits) of the files at `paths`, relative to `image_root`, in order.

        Raises:
            UserError: a file is missing or cannot be read.
        """
        root = image_root.resolve()
        known = self._of(root)
        states = [_state(os.path.join(root, path)) for path in paths]  # Path is slow by the million
        changed = {path: state for path, state in zip(paths, states, strict=True) if known.get(path, ())[:2] != state}
        if changed:
            with ThreadPoolExecutor(READERS) as pool:
                read = pool.map(_digest, (root / path for path in changed))
                known |= {path: (*state, digest) for (path, state), digest in zip(changed.items(), read, strict=True)}
            self._save(root, known)
        return [known[path][2] for path in paths]

    def known(self, image_root: Path, paths: Sequence[str]) -> dict[str, str]:
        """Digests of those files that were read before and have not changed since; opens no image."""
        root = image_root.resolve()
        known = self._of(root)
        there = (path for path in paths if path in known)
        return {path: known[path][2] for path in there if _has_state(os.path.join(root, path), known[path][:2])}

    def _of(self, root: Path) -> Known:
        if root not in self._known:
            self._known[root] = self._load(root)
        return self._known[root]

    def _file(self, root: Path) -> Path:
        return self._folder / f"{fingerprint(str(root))[:16]}.json"

    def _load(self, root: Path) -> Known:
        try:
            content = json.loads(self._file(root).read_text())
            return {path: (size, modified, digest) for path, (size, modified, digest) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # a missing or damaged index is built again

    def _save(self, root: Path, known: Known) -> None:
        """Add to what other processes wrote meanwhile; what is lost in a race is merely read again."""
        remember(self._file(root), json.dumps(self._load(root) | known))


def shared_index() -> DigestIndex:
    """The index under the cache folder, which all that read images share; loaded once per process."""
    return _index_in(cache_root())


@lru_cache(maxsize=4)
def _index_in(cache: Path) -> DigestIndex:
    return DigestIndex(cache / "features" / "digests")


def _has_state(path: str, state: tuple[int, int]) -> bool:
    try:
        return _state(path) == state
    except UserError:  # gone: whoever needs the image says so
        return False


def _state(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        raise UserError(f"{path}: image missing; complete the images or set data.root") from None
    except OSError as error:
        raise UserError(f"{path}: image cannot be read ({error.strerror})") from None
    if (kind := odd_kind(stat.st_mode)) is not None:
        raise UserError(f"{path}: is {kind} and not an image; replace it")
    return stat.st_size, stat.st_mtime_ns


def _digest(path: Path) -> str:
    check_regular(path)
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=DIGEST_BYTES).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: image cannot be read ({error.strerror})") from None
