"""SHA-256 fingerprints: what was computed from what. Loads no torch.

Content is fingerprinted, never its location: a moved data root or weights file keeps its fingerprints.
"""

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from dualpt.core.errors import UserError
from dualpt.core.files.locations import cache_root, remember
from dualpt.core.files.regular import check_regular

ROWS_AT_ONCE = 4096
"""Hashed by one call, which costs as much as hashing a row."""


def fingerprint(value: object) -> str:
    """SHA-256 (64 hex digits) of a JSON-like value; key order does not matter, list order does."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def rows_fingerprint(rows: Iterable[Iterable[object]]) -> str:
    """SHA-256 of rows in order, fast enough for the million rows of ImageNet; no field may hold a NUL or newline."""
    return lines_fingerprint("\0".join(map(str, row)) for row in rows)


def lines_fingerprint(lines: Iterable[str]) -> str:
    """SHA-256 of rows that are text already, their fields divided by NUL."""
    digest, rest = hashlib.sha256(), iter(lines)
    while chunk := list(islice(rest, ROWS_AT_ONCE)):
        digest.update(("\n".join(chunk) + "\n").encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes.

    The hash of a large weights file takes seconds, so it is kept under the cache folder, keyed by the file's path,
    size and modification time.

    Raises:
        UserError: the file cannot be read.
    """
    check_regular(path)
    try:
        stat = path.stat()
        key = fingerprint([str(path.resolve()), stat.st_size, stat.st_mtime_ns])
        known = cache_root() / "file-hashes" / key
        if known.is_file():
            return known.read_text()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    remember(known, digest)
    return digest
