"""What came of a launch: counts, the exit code, and the lines that say so."""

import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from dualpt.sweeps.launching.driver import Driver

COMPLETE, SOME_FAILED, BUDGET_SPENT, INTERRUPTED = 0, 3, 4, 130
"""Exit codes, besides 2 for a `UserError`."""


@dataclass(frozen=True)
class LaunchOutcome:
    """What came of a launch; counts are cells."""

    name: str
    cells: int
    trained: int
    reused: int
    """Copied from another sweep or trial of the store."""
    kept: int
    """Finished by earlier launches."""
    failed: int
    pruned: int
    """Candidates (not cells) that the race has given up."""
    interrupted: bool
    spent: bool
    """Whether `run.max_hours` ended it with cells left."""
    best: str | None
    """Name of the best candidate."""
    best_value: float | None
    """Its mean validation accuracy, in percent."""

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return INTERRUPTED
        if self.spent:
            return BUDGET_SPENT
        return SOME_FAILED if self.failed else COMPLETE

    def summary(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "exit_code": self.exit_code}


def launch_outcome(name: str, driver: "Driver") -> LaunchOutcome:
    dispatcher = driver.dispatcher
    counts, best = dispatcher.counts, dispatcher.best
    return LaunchOutcome(
        name=name,
        cells=dispatcher.total,
        trained=driver.trained_before + counts.trained,
        reused=counts.reused,
        kept=max(0, counts.kept - driver.trained_before),
        failed=counts.failed,
        pruned=counts.pruned,
        interrupted=driver.interrupted and not dispatcher.complete,
        spent=driver.spent and not dispatcher.complete,
        best=None if best is None else best[0],
        best_value=None if best is None else best[1],
    )


def report(outcome: LaunchOutcome, console: Console) -> None:
    """Two or three lines: what was done, what was found, how to go on."""
    done = outcome.trained + outcome.reused + outcome.kept
    before = outcome.kept + outcome.reused
    known = "none was known" if not before else "1 was known" if before == 1 else f"{before} were known"
    failed = f", [yellow]{outcome.failed} failed[/]" if outcome.failed else ""
    console.print(
        f"[bold]{outcome.name}[/]: {done} cells done: {outcome.trained} trained, {known}{failed}", highlight=False
    )
    if outcome.pruned:
        console.print(
            f"  {outcome.pruned} candidates given up by the race; search.racing=none finishes them", highlight=False
        )
    if outcome.best is not None:
        console.print(f"  best candidate {outcome.best}: validation accuracy {outcome.best_value:.1f}", highlight=False)
    if outcome.interrupted:
        console.print(f"  interrupted; go on with: {command_line()}", highlight=False, soft_wrap=True, markup=False)
    elif outcome.spent:
        line = f"  the budget of run.max_hours is spent; go on with: {command_line()}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    elif outcome.failed:
        console.print("  the same command tries the failed cells again", highlight=False)


def command_line() -> str:
    """What the user has typed, to be typed again."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
