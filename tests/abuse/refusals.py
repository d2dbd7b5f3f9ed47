"""One bad input and what it must answer, and a run of the command line in this process that holds it to that."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.command_line import answer

SECONDS = 20
"""How long an input may take; one that blocks is stopped there."""
REMEMBERED = {"file-hashes", "open-clip"}
"""Folders of the cache with hashes of weights and what open_clip said, which any command may leave."""
Prepare = Callable[[Path], object]
"""Puts files into the folder that a command is run in."""


def nothing(folder: Path) -> None:
    """Leave the folder empty."""


@dataclass(frozen=True)
class Bad:
    """Words that the command line must refuse.

    `{folder}` and `{shared}` in them stand for the working folder and for what `stage` has made for all inputs.
    """

    words: tuple[str, ...]
    said: str
    """Part of the one line: the key or file, mostly."""
    files: Prepare = nothing
    note: str = ""
    """What is odd about the files, for the title."""

    @property
    def title(self) -> str:
        return " ".join([*self.words, *self.note.split()])[:150]


def bad(command: str, said: str, files: Prepare = nothing, note: str = "", **values: str) -> Bad:
    """A `Bad` from words separated by blanks; `$NAME` stands for a value that may itself hold blanks."""
    words = (values.get(word[1:], word) if word.startswith("$") else word for word in command.split())
    return Bad(tuple(words), said, files, note)


def contents(*folders: Path) -> dict[str, tuple[int, int]]:
    """Everything under some folders but remembered hashes of files: path, size and time of the last change."""
    paths = (path for folder in folders for path in _walk(folder) if REMEMBERED.isdisjoint(path.parts))
    return {str(path): _state(path) for path in paths}


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


def _state(path: Path) -> tuple[int, int]:
    state = path.lstat()
    return (0, 0) if path.is_dir() else (state.st_size, state.st_mtime_ns)


def hold(case: Bad, folder: Path, cache: Path, shared: Path) -> None:
    """Assert that an input is refused in one line that names its fault, with exit code 2 and nothing written."""
    case.files(folder)
    places = {"{folder}": str(folder), "{shared}": str(shared)}
    words = tuple(_filled(word, places) for word in case.words)
    before = contents(folder, cache)
    given = answer(words)
    lines = given.error.splitlines()
    assert given.code == 2, f"exit code {given.code}: {given.error or given.out[-500:]}"
    assert len(lines) == 1, given.error
    assert lines[0].startswith("error: "), lines[0]
    assert case.said in lines[0], lines[0]
    changed = dict(contents(folder, cache).items() ^ before.items())
    assert not changed, f"written: {sorted(changed)[:5]}"
    assert given.out == "", given.out[:500]


def _filled(word: str, places: dict[str, str]) -> str:
    for mark, place in places.items():
        word = word.replace(mark, place)
    return word
