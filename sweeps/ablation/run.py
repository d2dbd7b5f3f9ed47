"""`dualpt ablate`: launch a study through the machinery of sweeps, then show what came of it."""

from pathlib import Path

from rich.console import Console

from search_spaces.study import LoadedStudy
from sweeps.launch import draw_mini_datasets, launch
from sweeps.launch import dry_run as show_plan


def run_study(
    console: Console, study: LoadedStudy, *, dry_run: bool, progress: bool, output: Path | None, as_json: bool
) -> int:
    """Run what is missing of a study, and print (or write) its tables and statistics; returns the exit code."""
    draw_mini_datasets(study.sweep, console=console, progress=progress and not as_json)
    if dry_run:
        show_plan(study.sweep, console=console, as_json=as_json)
        return 0
    outcome = launch(study.sweep, console=console, progress=progress and not as_json)
    return outcome.exit_code
