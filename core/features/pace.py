"""How many images per second this machine encoded before: how long a build is expected to take."""

import json
from pathlib import Path

from dualpt.core.files.locations import remember

PACE_FILE = "pace.json"
LEAST_SECONDS = 1.0
"""Of shorter builds, starting up takes too large a part."""


class Pace:
    """Images per second by what encodes them, kept in the store's folder; it can be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / PACE_FILE

    def known(self, encoder: str) -> float | None:
        """Images per second of the latest build, or None."""
        pace = self._read().get(encoder)
        return pace if isinstance(pace, int | float) and pace > 0 else None

    def note(self, encoder: str, images: int, seconds: float) -> None:
        """Remember a build, unless it was too short to tell."""
        if seconds >= LEAST_SECONDS:
            remember(self._file, json.dumps(self._read() | {encoder: images / seconds}, indent=1))

    def _read(self) -> dict[str, float]:
        try:
            content = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
