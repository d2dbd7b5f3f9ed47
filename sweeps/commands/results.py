"""`dualpt compare` and `status`. Heavy imports stay inside the commands, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from sweeps.commands.options import DEFAULT_STORE, Json, Store, new_app, out

app = new_app()


@app.command(epilog="Example: [bold]dualpt compare demo --shots 16 --figure curves.pdf[/]")
def compare(
    name: Annotated[str, typer.Argument(help="Name of a sweep (its MLflow experiment).")],
    shots: Annotated[int | None, typer.Option(help="Shots of the table; the largest finished by default.")] = None,
    metric: Annotated[str | None, typer.Option(help="Metric of the table; the protocol's own by default.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="few-shot or base-to-new; needed where the sweep holds both.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table, markdown, csv or json.")] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the table to a file.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw few-shot curves to .png, .pdf or .svg.")] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Print the table: methods by datasets and average, mean and spread over seeds with n."""
    from sweeps.comparing import compare_sweep

    compare_sweep(
        out,
        name,
        shots=shots,
        metric=metric,
        protocol=protocol,
        form=form,
        output=output,
        figure=figure,
        store=store,
    )


@app.command(epilog="Example: [bold]dualpt status demo --watch[/]")
def status(
    name: Annotated[str | None, typer.Argument(help="Name of a sweep; all of the store by default.")] = None,
    store: Store = DEFAULT_STORE,
    watch: Annotated[bool, typer.Option("--watch", help="Show a named sweep anew until its launch ends.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far sweeps are, while they run or afterwards; of a named one, trials, datasets, failures, time left."""
    from sweeps.status import show_status

    show_status(out, name, store=store, as_json=as_json, watch=watch)
