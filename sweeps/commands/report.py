"""`dualpt report`. Heavy imports stay inside the command, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.completing import recorded_sweeps
from dualpt.sweeps.commands.options import DEFAULT_STORE, DEFAULT_STUDY, Store, Study, new_app, out

app = new_app()


@app.command(epilog="Example: [bold]dualpt report demo --out demo.html[/]")
def report(
    name: Annotated[
        str, typer.Argument(help="Name of a sweep or ablation (its MLflow experiment).", autocompletion=recorded_sweeps)
    ],
    file: Annotated[
        Path | None, typer.Option("--out", help="The HTML file; outputs/NAME-report.html by default.")
    ] = None,
    log: Annotated[bool, typer.Option(help="Log it, with tables and figures, to the sweep's run in MLflow.")] = True,
    store: Store = DEFAULT_STORE,
    study: Study = DEFAULT_STUDY,
) -> None:
    """Write one self-contained HTML page: results, search, settings, coverage, cost, provenance, every cell."""
    from dualpt.sweeps.report.report import report_sweep

    report_sweep(out, name, store=store, study=study, out=file, log=log)
