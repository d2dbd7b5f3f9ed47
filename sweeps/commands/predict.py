"""`dualpt predict`. Heavy imports stay inside the command, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.options import DEFAULT_STORE, Json, Store, new_app, out
from dualpt.sweeps.outputs import form_of

app = new_app()


@app.command(
    epilog="Examples: [bold]dualpt predict --cell demo/best/mini-pets/16/1 photos/[/] · "
    "[bold]dualpt predict --contexts kept/mini-pets-few-shot-16shot-seed1.safetensors a.jpg b.jpg --format csv "
    "-o predictions.csv[/]"
)
def predict(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES... [KEY=VALUE]...", help="Image files and folders; and where weights are on this machine."
        ),
    ],
    cell: Annotated[
        str | None,
        typer.Option(help="A run id, a cell key, a beginning of either, or SWEEP/TRIAL/DATASET/SHOTS/SEED."),
    ] = None,
    contexts: Annotated[Path | None, typer.Option(help="A file that `dualpt train --save` wrote.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Class names other than those learned, one per line.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes shown for each image.")] = 3,
    form: Annotated[
        str | None, typer.Option("--format", help="table, csv or json; the file's (.csv, .json) by default.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "--out", "-o", help="Write the predictions to a file; - is stdout.")
    ] = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Classify images with learned prompts, or with the classifier of another method.

    Exit codes: 0 all images classified, 2 usage or no image that can be read, 3 some cannot be read (they are listed).
    """
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.tools.predict import predict as classify

    values = [word for word in words if "=" in word and not Path(word).exists()]
    code = classify(
        out,
        [Path(word) for word in words if word not in values],
        cell=cell,
        contexts=contexts,
        store=store,
        overrides=parse_overrides(values),
        classes=classes,
        top=top,
        form=form_of(form, output, default="table", as_json=as_json),
        output=output,
    )
    raise typer.Exit(code)
