"""Where commands write what was asked for: checked before any work is done."""

import errno
import tempfile
from pathlib import Path

from dualpt.core.errors import UserError

STDOUT = Path("-")
"""What `-o -` names."""
FORM_OF_SUFFIX = {".md": "markdown", ".tex": "latex", ".csv": "csv", ".json": "json"}


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
    """Find whether a file can be written, as far as that can be known; leaves nothing behind. `-` always can.

    Raises:
        UserError: it cannot; the line names the option.
    """
    if file == STDOUT:
        return
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        file.exists()  # raises where the name is too long
        existing = next(folder for folder in file.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(f"{option}: {file} cannot be written ({error.strerror})") from None


def write_document(text: str, file: Path, option: str) -> bool:
    """Write a document, or print it where the file is `-`; returns whether a file was written.

    Raises:
        UserError: it cannot be written; the line names the option.
    """
    if file == STDOUT:
        print(text.rstrip("\n"))
        return False
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{option}: {file} cannot be written ({error.strerror})") from None
    return True


def form_of(given: str | None, output: Path | None, *, default: str, as_json: bool = False) -> str:
    """The format that is meant: what `--format` or `--json` says, else what the file's suffix means, else `default`.

    Raises:
        UserError: the options contradict each other, or the file's suffix means no format and none is given.
    """
    if as_json and given not in (None, "json"):
        raise UserError(f"--format {given}: contradicts --json; give one of them")
    if as_json:
        return "json"
    if given is not None or output is None or output.suffix in ("", ".txt"):
        return given or default
    if (form := FORM_OF_SUFFIX.get(output.suffix.lower())) is None:
        known = ", ".join(FORM_OF_SUFFIX)
        raise UserError(f"--output: {output}: '{output.suffix}' means no format ({known}); give one with --format")
    return form
