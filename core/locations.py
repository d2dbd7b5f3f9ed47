"""Where derived files lie: everything here can be deleted and is computed again."""

import os
from pathlib import Path


def cache_root() -> Path:
    """The folder of the feature store and of file hashes: `$DUALPT_CACHE`, or `~/.cache/dualpt`."""
    return Path(os.environ.get("DUALPT_CACHE") or "~/.cache/dualpt").expanduser()
