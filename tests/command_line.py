"""The command line in this process: no second interpreter, which would import everything once more."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest import mock

from dualpt.sweeps import cli


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    error: str


def answer(words: tuple[str, ...]) -> Answer:
    """Run `dualpt` with these words in this process; an exception that would be a traceback is raised."""
    out, error = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["dualpt", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            return Answer(int(ended.code or 0), out.getvalue(), error.getvalue())
    raise AssertionError("the command line returned without an exit code")
