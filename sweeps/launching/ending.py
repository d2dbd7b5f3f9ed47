"""How a launch ends: its exit codes, and the command that continues it."""

import shlex
import sys
from pathlib import Path

COMPLETE, SOME_FAILED, BUDGET_SPENT, INTERRUPTED = 0, 3, 4, 130
"""Exit codes, besides 2 for a `UserError`."""


def command_line() -> str:
    """What the user has typed, to be typed again; of a notebook, that is not known."""
    if hasattr(sys, "ps1"):  # Python and IPython set it where a user types
        return "the same call"
    program = Path(sys.argv[0]).name
    typed = ["python", "-m", "dualpt"] if program == "__main__.py" else [program]
    return shlex.join([*typed, *sys.argv[1:]])
