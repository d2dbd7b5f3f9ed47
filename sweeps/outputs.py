"""Where commands write what was asked for: checked before any work is done."""

import errno
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


def check_file(file: Path, option: str) -> None:
    """Find whether a file can be written, as far as that can be known; leaves nothing behind.

    Raises:
        UserError: it cannot; the line names the option.
    """
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        file.exists()  # raises where the name is too long
        existing = next(folder for folder in file.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(f"{option}: {file} cannot be written ({error.strerror})") from None
