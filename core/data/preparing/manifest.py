"""`prepared.json` in a dataset's folder: what was done to fill it, from where, with hashes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualpt.core.files.locations import write_atomically

FILE_NAME = "prepared.json"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The record of one prepared dataset."""

    version: int = VERSION
    dataset: str
    sources: Sequence[Mapping[str, Any]] = ()
    """Each folder or archive: what it was found as, its path, how many images (null for archives)."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Path in the dataset's folder -> the file or folder that the link leads to. What it shows isn't read, so it has no
    digests."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Path of a copied or extracted file -> BLAKE2b of its bytes (32 hex digits, as for stored features)."""
    lists: Mapping[str, str] = field(default_factory=dict)
    """Split file, class names and other lists -> SHA-256 of their bytes."""
    split_fingerprint: str = ""
    remarks: Sequence[str] = ()

    def save(self, folder: Path) -> None:
        """Write it into the dataset's folder."""
        # The separator, not an indentation, gives every link its line: with one, Python's slow encoder is used.
        text = json.dumps(vars(self), separators=(",\n", ": "), sort_keys=True)
        write_atomically(folder / FILE_NAME, text + "\n", remedy="make room, or set its permissions")


def load_manifest(folder: Path) -> Manifest | None:
    """The manifest of a dataset's folder; None where there is none, or none that this version can read."""
    try:
        content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        return Manifest(**content) if content["version"] == VERSION else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def sha256(content: bytes) -> str:
    """SHA-256 (64 hex digits) of a list's bytes."""
    return hashlib.sha256(content).hexdigest()
