"""Progress bars and durations in words, as every command shows them; libraries kept quiet."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from dualpt.sweeps.word_table import WordText


def progress_bar(console: Console, quiet: bool) -> Progress:
    """A bar that says what is done and when it will be over."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=quiet, transient=True)


Show = Callable[[int, int | None, str], None]
"""Takes what is done, of how much in all (None: that is not known), and what is being done."""


@contextmanager
def showing_progress(console: Console, quiet: bool, first: str) -> Iterator[Show]:
    """A `progress_bar` for one thing after another, of which `first` is the first."""
    with progress_bar(console, quiet) as bar:
        task = bar.add_task(first, total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


def indented(text: str, style: str = "") -> WordText:
    """A sentence without markup that keeps its indent in every line that a terminal breaks it into, between words."""
    return WordText(Text(text, style), indent=2)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a sentence, `indented` in a terminal; elsewhere it stays one line, which `grep` finds.

    What is to be copied (commands, addresses, paths) is printed with `soft_wrap` instead: the terminal breaks it, and
    gives it back whole.
    """
    if console.is_terminal:
        console.print(indented(text, style), crop=False)
    else:
        say_whole(console, text, style)


def say_whole(console: Console, text: str, style: str = "") -> None:
    """Print it indented and never broken, so that a path in it can be copied from a terminal in one piece."""
    console.print(f"  {text}", style=style, highlight=False, markup=False, soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """`1 cell`, `3 cells`; of several words the last is put in the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def readable_seconds(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def without_telemetry() -> None:
    """Keep MLflow and Ray from reporting usage and warning on every start, unless the environment says otherwise."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
