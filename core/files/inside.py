"""Whether a path that a file brings along names something inside the folder it belongs to."""

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Control characters: a line feed breaks every list of names."""
DRIVE = re.compile(r"[A-Za-z]:")
PLAIN = re.compile(r"\w[\w .,()&'+@#%-]{0,250}(?:/\w[\w .,()&'+@#%-]{0,250})*", re.ASCII)
"""A path that is plainly inside and tidy, as nearly all are: told by one match, since lists have a million of them."""
LONGEST_PART = 255
"""Bytes that file systems take for one name."""
LONGEST_PATH = 1024
"""Bytes of a whole path, which leave room for the folder that it is relative to; Linux takes 4096, macOS 1024."""


def tidied(path: str) -> str:
    """A path without the empty and `.` components that say nothing; a leading slash stays."""
    inner = "/".join(part for part in path.split("/") if part not in ("", "."))
    return f"/{inner}" if path.startswith("/") else inner


def why_outside(path: str) -> str | None:
    """Why a path does not name a file or folder inside the one it is relative to; None where it does.

    Archives, their manifests and split files are all judged by this. Nothing is looked up on disk.

    Args:
        path: with forward slashes, as it was written by somebody else.

    Returns:
        The rest of a sentence that begins with the path: "is absolute".
    """
    if len(path) <= LONGEST_PATH and PLAIN.fullmatch(path):
        return None
    if not path:
        return "is empty"
    if CONTROL.search(path):
        return "holds control characters"
    if "\\" in path:
        return "holds a backslash"
    if path.startswith(("/", "~")) or DRIVE.match(path):
        return "is absolute"
    for part in path.split("/"):
        if part in ("", "."):
            return "has an empty component"
        if part == "..":
            return "leads out of its folder"
        if len(part.encode(errors="surrogateescape")) > LONGEST_PART:
            return f"has a component of more than {LONGEST_PART} bytes"
    if len(path.encode(errors="surrogateescape")) > LONGEST_PATH:
        return f"is longer than {LONGEST_PATH} bytes"
    return None
