"""Where commands write what was asked for: checked before any work is done."""

import tempfile
from pathlib import Path

from dualpt.core.errors import UserError


def writable_folder(folder: Path, option: str) -> None:
    """Make the folder, and a file in it for a moment.

    Raises:
        UserError: it cannot be written; the line names the option.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{option}: {folder} cannot be written ({error.strerror})") from None
