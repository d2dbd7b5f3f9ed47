"""What lies in the folders that a user gives: files by folder, archives, and what can't be listed; one walk for all.

Folders called by WordNet id hold ImageNet's images, up to 1.3 million: they are listed when it's their turn.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dualpt.core.data.preparing.sources.archives import is_archive
from dualpt.core.errors import UserError

WNID = re.compile(r"n\d{8}")
LISTS = (".json", ".txt", ".csv")
"""Of files that are lists of images or classes; any other file that is given by itself is taken as an archive."""
SKIPPED = ("__MACOSX", "lost+found")


@dataclass
class Survey:
    """What was found; folders are absolute paths with forward slashes."""

    files: dict[str, list[str]] = field(default_factory=dict)
    """Folder -> names of its visible files."""
    folders: dict[str, list[str]] = field(default_factory=dict)
    """Folder -> names of its visible folders."""
    archives: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """A line for each folder that can't be listed, or whose name can't be printed."""

    def named(self, name: str) -> list[Path]:
        """The files of a name, the least deep first; case counts."""
        found = (Path(folder, name) for folder, names in self.files.items() if name in names)
        return sorted(found, key=lambda path: (len(path.parts), path))

    def ending(self, end: str) -> list[Path]:
        """The files whose names end so."""
        return [Path(folder, name) for folder, names in self.files.items() for name in names if name.endswith(end)]


def survey(tops: Sequence[Path], option: str, leave_out: Path | None = None) -> Survey:
    """Walk through folders; a file given in place of a folder is an archive or a list.

    Args:
        tops: folders, archives and lists that the user named.
        option: where the user named them, for an error.
        leave_out: a folder that isn't walked.

    Raises:
        UserError: one of `tops` doesn't exist.
    """
    result = Survey()
    seen: set[tuple[int, int]] = set()
    for top in tops:
        if not top.exists():
            raise UserError(f"{option}: no folder or archive '{top}'")
        if top.is_file():
            if top.suffix.lower() in LISTS:
                result.files.setdefault(str(top.absolute().parent), []).append(top.name)
            else:
                result.archives.append(top.absolute())
            continue
        _walk(top.absolute(), leave_out, result, seen)
    result.archives = list(dict.fromkeys(result.archives))
    return result


def _walk(top: Path, leave_out: Path | None, result: Survey, seen: set[tuple[int, int]]) -> None:
    """Links to folders are followed, each folder once."""
    waiting = [str(top)]
    while waiting:
        folder = waiting.pop()
        try:
            stat = os.stat(folder)
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            files, inner = _listed(folder)
        except OSError as error:
            result.unreadable.append(f"{folder}: cannot be listed ({error.strerror})")
            continue
        odd = [name for name in inner if not name.isprintable()]
        result.unreadable += [f"{folder}: left out {name!a}, a name that can't be printed; rename it" for name in odd]
        inner, files = _printable(inner), _printable(files)
        result.files[folder], result.folders[folder] = files, inner
        result.archives += [Path(folder, name) for name in sorted(filter(is_archive, files))]
        into = (name for name in inner if not WNID.fullmatch(name))
        waiting += [path for name in into if (path := os.path.join(folder, name)) != str(leave_out)]


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """Names of the visible files and folders of a folder."""
    files: list[str] = []
    inner: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] != "." and name not in SKIPPED:
                try:
                    (inner if entry.is_dir() else files).append(name)
                except OSError:  # a link that leads to itself, which must not hide what lies beside it
                    files.append(name)
    return files, inner


def _printable(names: list[str]) -> list[str]:
    """The names that can be printed, as all of them nearly always can."""
    return names if "".join(names).isprintable() else [name for name in names if name.isprintable()]
