"""`dualpt export`, `import`, `export-prompts` and `import-prompts`.

Heavy imports stay inside the commands, for a quick `--help`.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dualpt.sweeps.commands.completing import datasets, recorded_sweeps
from dualpt.sweeps.commands.options import DEFAULT_STORE, Json, Store, new_app, out
from dualpt.sweeps.console import counted, say_whole

app = new_app()


@app.command("export", epilog="Example: [bold]dualpt export demo --out demo.zip[/]")
def export_command(
    name: Annotated[
        str, typer.Argument(help="Name of a sweep (its MLflow experiment).", autocompletion=recorded_sweeps)
    ],
    file: Annotated[
        Path, typer.Option("--out", "--output", "-o", help="The archive to write; it replaces a file of that name.")
    ],
    without_files: Annotated[
        bool, typer.Option("--without-files", help="Write the numbers alone, without settings and learned contexts.")
    ] = False,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Write a sweep with its runs and artifacts to one file, to be imported into another store."""
    from dataclasses import asdict

    from dualpt.sweeps.comparison.frames import open_ledger
    from dualpt.sweeps.console import progress_bar
    from dualpt.sweeps.moving.move import export_sweep
    from dualpt.sweeps.outputs import check_file

    check_file(file, "--out")
    ledger = open_ledger(store)
    with progress_bar(out, quiet=as_json or not out.is_terminal) as bar:
        task = bar.add_task("runs", total=None)
        done = export_sweep(
            ledger,
            name,
            file,
            lambda n, total: bar.update(task, completed=n, total=total),
            without_files=without_files,
        )
    if as_json:
        print(json.dumps({**asdict(done), "file": str(file)}))
        return
    size = file.stat().st_size / 2**20
    out.print(
        f"[bold]{escape(name)}[/]: {counted(done.cells, 'cell')}, {counted(done.artifacts, 'file')}, {size:.1f} MiB",
        highlight=False,
    )
    say_whole(out, f"archive: {file}")


@app.command("import", epilog="Example: [bold]dualpt import demo.zip --store sqlite:///mlflow.db[/]")
def import_command(
    file: Annotated[Path, typer.Argument(help="An archive of `dualpt export`.")],
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Add an exported sweep to a store, which is created where there is none. Importing twice adds nothing."""
    from dualpt.sweeps.console import progress_bar
    from dualpt.sweeps.moving.move import import_archive

    with progress_bar(out, quiet=as_json or not out.is_terminal) as bar:
        task = bar.add_task("runs", total=None)
        done = import_archive(file, store, lambda n, total: bar.update(task, completed=n, total=total))
    if as_json:
        print(json.dumps(done.summary()))
        return
    known = done.known + done.kept
    out.print(
        f"[bold]{escape(done.sweep)}[/]: {counted(done.added, 'cell')} added, {known} were known", highlight=False
    )
    if done.superseded:
        out.print(
            f"  recorded, and not shown in tables, since another setting has the name here: "
            f"{counted(done.superseded, 'trial')}",
            highlight=False,
        )


@app.command(
    "import-prompts",
    epilog="Example: [bold]dualpt import-prompts output/eurosat/CoOp/rn50_16shots/nctx16_cscFalse_ctpend/seed1/"
    "prompt_learner/model.pth.tar-50 --dataset EuroSAT --out coop.safetensors data.root=DATA backbone.name=RN50[/]",
)
def import_prompts_command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the prompt learner, model.pth.tar-50.")],
    dataset: Annotated[str, typer.Option(help="The dataset it was trained on.", autocompletion=datasets)],
    file: Annotated[Path, typer.Option("--out", "--output", "-o", help="The file of learned prompts to write.")],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="data.root, backbone.name, prompt.class_token_position, …"),
    ] = None,
    method: Annotated[str, typer.Option(help="coop, coop-words, kgcoop or plot.")] = "coop",
    shots: Annotated[int | None, typer.Option(min=1, help="Shots; by default as the folders say (16shots).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; by default as the folders say (seed1).")] = None,
) -> None:
    """Turn a checkpoint of CoOp's, KgCoOp's or PLOT's into a file for `dualpt predict --contexts`.

    It is checked against its dataset and backbone, and none of its code is run.
    """
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.tools.coop_prompts import import_prompts

    import_prompts(out, checkpoint, method, dataset, shots, seed, parse_overrides(values or []), file)


@app.command(
    "export-prompts",
    epilog="Example: [bold]dualpt export-prompts --cell real-grid/coop/EuroSAT/16/1 --out exported/eurosat/seed1[/]",
)
def export_prompts_command(
    folder: Annotated[
        Path, typer.Option("--out", "--output", "-o", help="The folder to write to, --model-dir of CoOp's train.py.")
    ],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="backbone.pretrained, data.root, …")
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="A run id, a cell key, a beginning of either, or SWEEP/TRIAL/DATASET/SHOTS/SEED."),
    ] = None,
    contexts: Annotated[Path | None, typer.Option(help="A file that `dualpt train --save` wrote.")] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Write learned prompts as a checkpoint that the code of CoOp, KgCoOp or PLOT loads, with the same logits.

    Cells of coop, kgcoop and plot can be written; prompts by which that code would classify otherwise are refused.
    """
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.tools.coop_prompts import export_prompts

    overrides = parse_overrides(values or [])
    export_prompts(out, cell=cell, contexts=contexts, store=store, overrides=overrides, folder=folder)
