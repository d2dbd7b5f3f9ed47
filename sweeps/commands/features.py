"""`dualpt features build`, `import`, `ls`, `verify` and `gc`. Heavy imports stay inside, for a quick `--help`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.completing import datasets, methods
from dualpt.sweeps.commands.options import Json, new_app, out

app = new_app()
features = new_app()
app.add_typer(features, name="features", help="Stored image features: build them, look at them, clean up.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and its cost.")]


@features.command(
    epilog="Examples: [bold]dualpt features build real-grid data.root=/data[/] · "
    "[bold]dualpt features build --dataset mini-pets --shots 16 --seeds 1,2,3[/]"
)
def build(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE] [KEY=VALUE]...", help="A sweep file or the name of one that ships; overrides."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="In place of a file: a dataset, `mini` or `real`; may be repeated.", autocompletion=datasets),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="With --dataset: training images per class; 16 by default.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="With --dataset: seeds of the draw (1,2 or 1-10); 1 by default.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="With --dataset: the method that reads them; `dualpt`, the default, reads local ones too.",
            autocompletion=methods,
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="With --dataset: the protocol whose images are wanted; few-shot by default.")
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="With --dataset: comma-separated test datasets of a transfer protocol.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Compute the image features of a sweep, or of a dataset, that are not stored yet.

    Size and time are estimated first. Run again after a kill, it continues; two running at once do the work once.
    """
    from dualpt.core.data.catalog import expand_datasets
    from dualpt.core.errors import UserError
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.search_spaces.shipped import shipped_or_path
    from dualpt.search_spaces.sweep_file import load_sweep
    from dualpt.sweeps.tools.features import build as build_features
    from dualpt.sweeps.tools.features import sweep_cells
    from dualpt.sweeps.tools.train import cells_of

    files = [word for word in words or [] if "=" not in word]
    overrides = [word for word in words or [] if "=" in word]
    if bool(files) == bool(dataset) or len(files) > 1:
        raise UserError("features build: give one sweep file, or --dataset NAME (see `dualpt features build --help`)")
    asked = {"shots": shots, "seeds": seeds, "method": method, "protocol": protocol, "targets": targets}
    if files and (of_dataset := [option for option, value in asked.items() if value is not None]):
        key = "baselines" if of_dataset[0] == "method" else f"grid.{of_dataset[0]}"
        raise UserError(f"--{of_dataset[0]}: belongs to --dataset; in {files[0]} it is the key {key}")
    if files:
        cells = sweep_cells(load_sweep(shipped_or_path(files[0]), parse_overrides(overrides)))
    else:
        root = parse_overrides(overrides).get("data.root")
        names = expand_datasets(dataset or [], None if root is None else Path(str(root)).expanduser())
        wanted = partial(
            cells_of,
            shots=shots,
            seeds="1" if seeds is None else seeds,
            method="dualpt" if method is None else method,
            protocol="few-shot" if protocol is None else protocol,
            targets=targets,
            overrides=overrides,
        )
        cells = [cell for name in names for cell in wanted(name)]
    build_features(out, cells, dry_run=dry_run, as_json=as_json)


@features.command(
    name="import",
    epilog="Examples: [bold]dualpt features import caches/dtd --dataset DescribableTextures --backbone ViT-B/16[/] · "
    "[bold]dualpt features import caches/dtd --dataset DescribableTextures --backbone ViT-B-16-quickgelu "
    "--weights ViT-B-16.pt data.root=DATA[/]",
)
def import_features(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER [data.root=FOLDER]", help="The cached features; data.root is where the split file lies."
        ),
    ],
    dataset: Annotated[
        str, typer.Option(help="Whose features they are, e.g. DescribableTextures.", autocompletion=datasets)
    ],
    backbone: Annotated[str, typer.Option(help="What computed them, e.g. ViT-B-16; the name that settings use.")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", "--output", "-o", help="Folder of imports, one file per dataset; in the cache by default."
        ),
    ] = None,
    split: Annotated[Path | None, typer.Option(help="The dataset's split file, in place of the data root's.")] = None,
    draws: Annotated[
        Path | None, typer.Option(help="Dassl's split_fewshot: which images each draw has; FOLDER's own by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws that the features belong to.")] = 1,
    logit_scale: Annotated[
        float | None, typer.Option(min=1e-3, help="CLIP's logit scale; by default that of --weights, or OpenAI's 100.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Rows aren't normalised; their norms are kept.")] = False,
    weights: Annotated[
        str | None,
        typer.Option(help="What gave the features, as in backbone.pretrained: class names are encoded with it."),
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="With {} for the class name, in place of the dataset's; needs --weights.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import features computed elsewhere: Tip-Adapter's, APE's and TIMO's caches, or arrays by name.

    They are checked against the dataset, and kept as one file. Methods that need no pixels and no text tower run on
    them with data.features=FOLDER; with --weights, learned prompts without local features too. Nothing
    in the files is executed.
    """
    from dualpt.core.errors import UserError
    from dualpt.sweeps.tools.feature_imports import import_folder
    from dualpt.sweeps.tools.words import names_and_root

    folders, root = names_and_root(words, None)
    if len(folders) != 1:
        raise UserError("features import: give one folder of cached features")
    import_folder(
        out,
        Path(folders[0]),
        dataset,
        backbone,
        root=root,
        split_file=split,
        to=to,
        draws=draws,
        seed=seed,
        scale=logit_scale,
        raw=raw,
        weights=weights,
        template=template,
        as_json=as_json,
    )


@features.command(name="ls", epilog="Example: [bold]dualpt features ls --json[/]")
def list_features(as_json: Json = False) -> None:
    """List what is stored: backbone, dataset, view, images, size, last use; and what was imported."""
    from dualpt.sweeps.tools.stored_features import show_store

    show_store(out, as_json=as_json)


@features.command(epilog="Example: [bold]dualpt features verify && echo sound[/]")
def verify(as_json: Json = False) -> None:
    """Check every stored byte against its checksum; damaged files are deleted, to be encoded again.

    Exit codes: 0 everything is sound, 3 damage was found.
    """
    from dualpt.sweeps.tools.stored_features import verify as verify_features

    raise typer.Exit(verify_features(out, as_json=as_json))


@features.command(epilog="Example: [bold]dualpt features gc --unused 30 --dry-run[/]")
def gc(
    unused: Annotated[
        float | None,
        typer.Option(min=0, max=36500, metavar="DAYS", help="Remove features that nothing has used for this long."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Remove the features of a backbone; with --unused, only those.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Remove the features of a dataset; with --unused, only those.", autocompletion=datasets),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove leftovers of killed builds, features of other versions, and those that you name.

    Files that aren't the store's, and features that are being written, are left alone.
    """
    from dualpt.sweeps.tools.stored_features import collect

    collect(out, unused_days=unused, backbone=backbone, dataset=dataset, dry_run=dry_run, as_json=as_json)
