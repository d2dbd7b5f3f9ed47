"""`dualpt ablate`: launch an ablation through the machinery of sweeps, then show what came of it."""

import json
from pathlib import Path

from rich.console import Console

from dualpt.search_spaces.ablation import LoadedAblation
from dualpt.sweeps.launching.before_training import draw_mini_datasets
from dualpt.sweeps.launching.launch import launch
from dualpt.sweeps.launching.preview import dry_run as show_plan


def run_ablation(
    console: Console,
    ablation: LoadedAblation,
    *,
    dry_run: bool = False,
    progress: bool = True,
    output: Path | None = None,
    form: str = "markdown",
    as_json: bool = False,
    restart_stopped: bool = False,
) -> int:
    """Run what is missing of an ablation, print its tables and statistics, and write them where `output` says.

    Args:
        restart_stopped: go on with the variants that users have stopped.

    Returns the exit code, which is that of the launch.

    Raises:
        UserError: any fault of the inputs, before compute is spent; a path that cannot be written.
    """
    from dualpt.sweeps.comparison.compare import check_output, show_tables

    check_output(form, output)
    sweep = ablation.sweep
    progress_bars = progress and not as_json
    if dry_run:
        show_plan(sweep, console=console, progress=progress_bars, as_json=as_json)
        return 0
    draw_mini_datasets(sweep, console=console, progress=progress_bars)
    outcome = launch(sweep, console=console, progress=progress_bars, restart_stopped=restart_stopped)
    if outcome.interrupted:
        return outcome.exit_code
    from dualpt.sweeps.ablation.ablation_tables import ablation_cells, ablation_tables
    from dualpt.sweeps.comparison.formats.documents import to_document
    from dualpt.sweeps.comparison.frames import read_frame

    selection = ablation_cells(ablation, read_frame(sweep.file.name, sweep.file.run.tracking_uri))
    tables = ablation_tables(ablation, selection)
    if as_json:
        print(json.dumps({**outcome.summary(), "tables": [to_document(table) for table in tables]}, indent=1))
    else:
        show_tables(console, tables, form="table", output=None)
    if output is not None:
        show_tables(Console(quiet=True) if as_json else console, tables, form=form, output=output)
    return outcome.exit_code
