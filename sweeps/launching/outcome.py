"""What came of a launch: counts, the exit code, and the lines that say so."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from dualpt.sweeps.comparison.plan_remarks import plan_remarks
from dualpt.sweeps.comparison.searched.candidate_ranks import Candidate
from dualpt.sweeps.comparison.searched.candidate_table import (
    ACCURACY_NOTE,
    candidate_grid,
    more_text,
    record,
    winner_lines,
)
from dualpt.sweeps.comparison.selection_basis import SelectionBasis, accuracy_text, selection_basis
from dualpt.sweeps.console import counted, say, say_whole
from dualpt.sweeps.launching.ending import BUDGET_SPENT, COMPLETE, INTERRUPTED, SOME_FAILED, command_line

if TYPE_CHECKING:
    from dualpt.sweeps.launching.driver import Driver
    from dualpt.sweeps.records import CellRow


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
    best_basis: SelectionBasis | None = None
    """What that is the mean and the highest of."""
    plan_remarks: tuple[str, ...] = ()
    """Which trials' transport plans are far from converged."""
    candidates: tuple[Candidate, ...] = ()
    """All that the search has tried, the best first."""

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return INTERRUPTED
        if self.spent:
            return BUDGET_SPENT
        return SOME_FAILED if self.failed else COMPLETE

    def summary(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "candidates": list(map(record, self.candidates)), "exit_code": self.exit_code}


def launch_outcome(
    name: str,
    driver: "Driver",
    rows: "Sequence[CellRow]",
    validation_images: tuple[int, int] | None,
    candidates: Sequence[Candidate],
) -> LaunchOutcome:
    """
    Args:
        rows: the sweep's cells on record.
        validation_images: fewest and most by which a candidate is judged in one cell.
        candidates: those on record (`read_candidates`).
    """
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
        best_basis=None if best is None else selection_basis(rows, best[0], validation_images),
        plan_remarks=tuple(plan_remarks(rows)),
        candidates=tuple(candidates),
    )


def report(outcome: LaunchOutcome, console: Console) -> None:
    """What was done, what candidates were tried, what was found, how to go on."""
    if outcome.candidates:
        console.print(candidate_grid(outcome.candidates, console), crop=False)
        if more := more_text(outcome.name, outcome.candidates):
            console.print(f"  {more}", highlight=False, markup=False)
        say(console, ACCURACY_NOTE, "dim")
    console.print(_counts_line(outcome), highlight=False)
    if outcome.pruned:
        console.print(
            f"  {counted(outcome.pruned, 'candidate')} given up by the race; search.racing=none finishes them",
            highlight=False,
            markup=False,
        )
    for remark in outcome.plan_remarks:
        console.print(f"  [yellow]note[/] {escape(remark)}", highlight=False, soft_wrap=True)
    if next_step := _next_step(outcome):
        console.print(f"  {next_step}", highlight=False, soft_wrap=True, markup=False)
    if outcome.best is not None and outcome.best_value is not None:
        accuracy = accuracy_text(outcome.best_value, outcome.best_basis)
        say(console, f"best candidate {outcome.best}: {accuracy}")
    for line in winner_lines(outcome.candidates):
        say_whole(console, line)


def _counts_line(outcome: LaunchOutcome) -> str:
    """As markup."""
    done = outcome.trained + outcome.reused + outcome.kept
    before = outcome.kept + outcome.reused
    known = "none was known" if not before else "1 was known" if before == 1 else f"{before} were known"
    failed = f", [yellow]{outcome.failed} failed[/]" if outcome.failed else ""
    return f"[bold]{escape(outcome.name)}[/]: {counted(done, 'cell')} done: {outcome.trained} trained, {known}{failed}"


def _next_step(outcome: LaunchOutcome) -> str:
    """How to go on with what is left; empty where nothing is."""
    if outcome.interrupted:
        return f"interrupted; go on with: {command_line()}"
    if outcome.spent:
        return f"the budget of run.max_hours is spent; go on with: {command_line()}"
    return "the same command tries the failed cells again" if outcome.failed else ""
