"""`dualpt claim`. Heavy imports stay inside the command, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.options import DEFAULT_STORE, Json, Store, new_app, out

app = new_app()


@app.command(
    epilog="Examples: [bold]dualpt claim demo[/] · [bold]dualpt claim mine --method SS-Text --baseline CoOp --shots 4 "
    "-o claim.md[/]"
)
def claim(
    name: Annotated[str, typer.Argument(help="Name of a finished sweep or ablation (its MLflow experiment).")],
    method: Annotated[
        str | None, typer.Option(help="Whose claim, by name or title; the setting that the search selected by default.")
    ] = None,
    baseline: Annotated[str | None, typer.Option(help="What it is held against; CoOp by default.")] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="The largest finished number by default.")] = None,
    metric: Annotated[str | None, typer.Option(help="The protocol's own by default.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Needed where the sweep holds cells of several.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write FILE.md and FILE.json, in place of printing.")
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
