"""`dualpt report` and `dualpt claim`. Heavy imports stay inside the commands, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.completing import recorded_sweeps
from dualpt.sweeps.commands.options import DEFAULT_STORE, DEFAULT_STUDY, Import, Json, Store, Study, new_app, out

app = new_app()


@app.command(epilog="Example: [bold]dualpt report demo --out demo.html[/]")
def report(
    name: Annotated[
        str, typer.Argument(help="Name of a sweep or ablation (its MLflow experiment).", autocompletion=recorded_sweeps)
    ],
    file: Annotated[
        Path | None, typer.Option("--out", "--output", "-o", help="The HTML file; outputs/NAME-report.html by default.")
    ] = None,
    imported: Import = None,
    log: Annotated[bool, typer.Option(help="Log it, with tables and figures, to the sweep's run in MLflow.")] = True,
    store: Store = DEFAULT_STORE,
    study: Study = DEFAULT_STUDY,
) -> None:
    """Write one self-contained HTML page: results, search, settings, coverage, cost, provenance, every cell."""
    from dualpt.sweeps.report.report import report_sweep

    report_sweep(out, name, store=store, study=study, out=file, log=log, imported=imported or ())


@app.command(
    epilog="Examples: [bold]dualpt claim demo[/] · [bold]dualpt claim mine --method SS-Text --baseline CoOp --shots 4 "
    "-o claim.md[/]"
)
def claim(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a finished sweep or ablation (its MLflow experiment).", autocompletion=recorded_sweeps
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option(
            help="Method the claim is about, by name or title; the setting that the search selected by default."
        ),
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="Method it is compared with; CoOp by default.")] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="The largest finished number by default.")] = None,
    metric: Annotated[str | None, typer.Option(help="The protocol's own by default.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Needed where the sweep holds cells of several.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--out", "-o", help="Write FILE.md and FILE.json; - is stdout, as without it."),
    ] = None,
    as_json: Json = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Print one page that a reviewer can check: the claim, its protocol, test, search, draws, versions, commands."""
    from dualpt.sweeps.claiming.claim import make_claim

    make_claim(
        out,
        name,
        method=method,
        baseline=baseline,
        shots=shots,
        metric=metric,
        protocol=protocol,
        output=output,
        as_json=as_json,
        store=store,
    )
