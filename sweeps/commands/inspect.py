"""`dualpt inspect`. Heavy imports stay inside the command, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.completing import cells
from dualpt.sweeps.commands.options import DEFAULT_STORE, Json, Store, new_app, out

app = new_app()


@app.command(
    epilog="Examples: [bold]dualpt inspect demo/best/mini-pets/16/1[/] · "
    "[bold]dualpt inspect 3f2a9c81 --out looks data.root=/data[/]"
)
def inspect(
    cell: Annotated[
        str,
        typer.Argument(
            help="A run id, a cell key, a beginning of either, or SWEEP/TRIAL/DATASET/SHOTS/SEED.", autocompletion=cells
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Where things are on this machine: data.root, descriptions.bank, …"
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", "--output", "-o", help="Folder of pictures and page; outputs/inspect-… by default."),
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=50, help="Test images to show the prompts' maps on.")] = 6,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Look inside a cell: confusions, accuracy by class; for prompts, also nearest words and where they look."""
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.inspecting.inspect import inspect_cell

    values = parse_overrides(overrides or [])
    inspect_cell(out, cell, store=store, out=folder, images=images, overrides=values, as_json=as_json)
