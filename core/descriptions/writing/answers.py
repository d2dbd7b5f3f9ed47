"""The file of raw answers: append-only, so a killed run loses at most the part being answered.

JSON Lines: a header that says what was asked of whom, then rounds (which questions) and answers. The answers stay when
the bank is written: more sentences per class, or other rules of cleaning, use them again.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dualpt.core.descriptions.writing.cleaning import Answer
from dualpt.core.descriptions.writing.writers import Answered
from dualpt.core.errors import UserError
from dualpt.core.files.regular import check_regular

FORMAT = "dualpt-answers/1"
Place = tuple[int, int]
"""Label and number of a question."""


class AnswerFile:
    """Answers by (label, number) of their question; made by `open_answers`.

    Attributes:
        answers: what was answered so far.
        round: the questions of the latest round, in the order asked.
        header: as it stands in the file, with the day on which the work began.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._path = path
        self.header: dict[str, Any] = dict(header)
        self.answers: dict[Place, Answer] = {}
        self.round: list[Place] = []

    def begin_round(self, questions: Sequence[Place]) -> None:
        """Note which questions are asked next: a resumed run puts them into the same batches."""
        self.round = list(questions)
        self._append({"round": self.round})

    def add(self, answered: Answered) -> None:
        """Keep answers; they are on disk when this returns."""
        rows = [[question.label, question.number, answer.text, answer.whole] for question, answer in answered]
        self._take({"answers": rows})
        self._append({"answers": rows})

    def _take(self, record: Mapping[str, Any]) -> None:
        if "round" in record:
            self.round = [(int(label), int(number)) for label, number in record["round"]]
        else:
            for label, number, text, whole in record["answers"]:
                self.answers[int(label), int(number)] = Answer(str(text), bool(whole))

    def _append(self, record: Mapping[str, Any]) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written ({error.strerror}); make room and run again") from None

    def _load(self) -> None:
        """Read the file; a last line that was cut off by a kill is removed from it."""
        check_regular(self._path)
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise UserError(f"{self._path}: cannot be read ({error.strerror})") from None
        if lines and not lines[-1].endswith(b"\n"):
            os.truncate(self._path, sum(map(len, lines[:-1])))
            lines.pop()
        header: dict[str, Any] = {}
        change = ""
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                if number > 1:
                    self._take(record)
                else:
                    header, change = record, self._change_since(record)
            except (ValueError, TypeError, KeyError, AttributeError):
                raise UserError(f"{self._path}: line {number} is damaged; move the file away to start over") from None
        if header and not change:
            self.header = header
            return
        if self.answers:
            raise UserError(
                f"{self._path}: its answers were asked for with {change}; use another --out, or --restart to throw "
                "them away"
            )
        self._begin_anew()  # nothing was answered: a wrong model or address leaves no trace

    def _begin_anew(self) -> None:
        self._path.unlink(missing_ok=True)
        self.round = []
        self._append(self.header)

    def _change_since(self, found: dict[str, Any]) -> str:
        """The first thing that determines the answers and is another now, as `key = old, now new`; empty where none."""
        for key, value in self.header.items():
            before = found[key]
            if key in ("date", "dualpt") or before == value:
                continue
            if isinstance(value, dict) and isinstance(before, dict):
                key = next(name for name in {**before, **value} if before.get(name) != value.get(name))
                before, value = before.get(key), value.get(key)
            return f"{key} = {_short(before)}, now {_short(value)}"
        return ""


@contextmanager
def open_answers(path: Path, header: Mapping[str, Any], restart: bool) -> Iterator[AnswerFile]:
    """The answers at `path`, for one process at a time.

    Args:
        path: the file; it is made if it does not exist.
        header: what determines the answers; a file with another one is refused.
        restart: throw away what is there.

    Raises:
        UserError: another process writes to it, it is damaged, cannot be written, or was begun with another header.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{path}: another run is writing answers there; wait for it, or use another --out") from None
    except OSError as error:
        raise UserError(f"--out: {path.parent} cannot be written ({error.strerror}); give another folder") from None
    try:
        if restart:
            path.unlink(missing_ok=True)
        file = AnswerFile(path, {"format": FORMAT, **header})
        if path.exists():
            file._load()
        else:
            file._append(file.header)
        yield file
    finally:
        lock.release()


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
