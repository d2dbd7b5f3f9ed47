"""Content digests of image files, so that stored features belong to pixels and not to places.

A digest is computed once; as long as a file keeps its size and modification time it is not read again. A moved or
copied data root is read once more, and then has the same digests.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dualpt.core.errors import UserError
from dualpt.core.files.fingerprint import fingerprint
from dualpt.core.files.locations import remember

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
        if root not in self._known:
            self._known[root] = self._load(root)
        known = self._known[root]
        states = [_state(os.path.join(root, path)) for path in paths]  # Path is slow by the million
        changed = {path: state for path, state in zip(paths, states, strict=True) if known.get(path, ())[:2] != state}
        if changed:
            with ThreadPoolExecutor(READERS) as pool:
                read = pool.map(_digest, (root / path for path in changed))
                known |= {path: (*state, digest) for (path, state), digest in zip(changed.items(), read, strict=True)}
            self._save(root, known)
        return [known[path][2] for path in paths]

    def _file(self, root: Path) -> Path:
        return self._folder / f"{fingerprint(str(root))[:16]}.json"

    def _load(self, root: Path) -> Known:
        try:
            content = json.loads(self._file(root).read_text())
            return {path: (size, modified, digest) for path, (size, modified, digest) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # an index that is missing or damaged is made anew

    def _save(self, root: Path, known: Known) -> None:
        """Add to what other processes wrote meanwhile; what is lost in a race is merely read again."""
        remember(self._file(root), json.dumps(self._load(root) | known))


def _state(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        raise UserError(f"{path}: image missing; complete the images or set data.root") from None
    except OSError as error:
        raise UserError(f"{path}: image cannot be read ({error.strerror})") from None
    return stat.st_size, stat.st_mtime_ns


def _digest(path: Path) -> str:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=DIGEST_BYTES).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: image cannot be read ({error.strerror})") from None
