"""How many images a second were encoded here before: what a build is expected to take."""

import json
from contextlib import suppress
from pathlib import Path

from dualpt.core.errors import UserError
from dualpt.core.files.locations import write_atomically

PACE_FILE = "pace.json"
LEAST_SECONDS = 1.0
"""Shorter builds say nothing: starting up takes part of that."""


class Pace:
    """Images per second by what encodes them, kept in the store's folder; it can be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / PACE_FILE

    def known(self, encoder: str) -> float | None:
        """Images per second of the latest build, or None."""
        pace = self._read().get(encoder)
        return pace if isinstance(pace, int | float) and pace > 0 else None

    def note(self, encoder: str, images: int, seconds: float) -> None:
        """Remember a build; an estimate that cannot be kept is no fault."""
        if seconds >= LEAST_SECONDS:
            with suppress(UserError):
                write_atomically(self._file, json.dumps(self._read() | {encoder: images / seconds}, indent=1))

    def _read(self) -> dict[str, float]:
        try:
            content = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
