"""`dualpt data prepare`, `check`, `doctor`, `draw`, `show` and `add`. Heavy imports stay inside them."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.options import Json, new_app, out

app = new_app()
data = new_app()
app.add_typer(data, name="data", help="Prepare, check, diagnose, draw, show and add datasets.")

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DATASET] [KEY=VALUE]...", help="Dataset; data.root=FOLDER is the same as --root."),
]
Root = Annotated[Path | None, typer.Option(help="The data root: the folder that holds the datasets' folders.")]


@data.command(
    epilog="Examples: [bold]dualpt data check --root DATA[/] · [bold]dualpt data check EuroSAT --root DATA --deep[/]"
)
def check(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET]... [KEY=VALUE]...",
            help="Datasets, or mini, real, imagenet-variants; all by default. data.root=FOLDER is the same as --root.",
        ),
    ] = None,
    root: Root = None,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every image, and compare their contents.")] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Demand as many classes and images as published.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what each dataset has: classes, images against the published numbers, missing and odd files.

    Without names: the eleven and your own, and those of ImageNet's variants that are there; without --root, the mini
    grid. Exit codes: 0 all that were asked for are fine, 2 usage, 3 some are not.
    """
    from dualpt.sweeps.tools.data import check_datasets
    from dualpt.sweeps.tools.words import names_and_root

    names, root = names_and_root(datasets, root)
    fine = check_datasets(out, names, root, deep=deep, published=published, as_json=as_json)
    raise typer.Exit(0 if fine else 3)


@data.command(epilog="Example: [bold]dualpt data doctor DATA[/]")
def doctor(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="ROOT", help="The data root; also as --root or data.root=FOLDER.")
    ] = None,
    root: Root = None,
) -> None:
    """Say why a data root doesn't work: what is there instead of what should be, and what to do about it.

    Nothing is written. Exit codes: 0 all that is there is fine, 2 usage, 3 some is not.
    """
    from dualpt.sweeps.tools.data_doctor import diagnose_root
    from dualpt.sweeps.tools.words import names_and_root

    names, root = names_and_root(words, root)
    raise typer.Exit(0 if diagnose_root(out, names, root) else 3)


@data.command(
    epilog="Examples: [bold]dualpt data draw OxfordPets --root DATA --shots 4 --seed 1 --json[/] · "
    "[bold]dualpt data draw OxfordPets --root DATA --shots 4 --seeds 1-10 --export draws[/] · "
    "[bold]dualpt data draw OxfordPets --root DATA --verify draws[/] · "
    "[bold]dualpt data draw Caltech101 --root DATA --draw realistic[/]"
)
def draw(
    words: Words = None,
    root: Root = None,
    split: Annotated[Path | None, typer.Option(help="A split file to draw from in place of the data root's.")] = None,
    shots: Annotated[int, typer.Option(min=1, help="Training images per class.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 1,
    seeds: Annotated[
        str | None, typer.Option(help="With --export: 1,2,3 or 1-10 or draws(10), in place of --seed.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write draws as CoOp's files, DATASET/split_fewshot/shot_K-seed_S.pkl under it.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--draw", help="standard, relaxed or realistic: as many images for each class, or in proportion to it."
        ),
    ] = "standard",
    verify: Annotated[
        Path | None, typer.Option(help="Compare the draws in this folder's files, CoOp's or exported ones, with ours.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a few-shot sample, train and val in the order of the draw, and its fingerprint; needs no images.

    Exit codes: 0 done, 2 usage, 3 some file of --verify holds a different draw.
    """
    from dualpt.sweeps.tools.draws import draw_samples
    from dualpt.sweeps.tools.words import dataset_and_root

    dataset, root = dataset_and_root(words, root)
    equal = draw_samples(
        out,
        dataset,
        root,
        split_file=split,
        shots=shots,
        seed=seed,
        seeds=seeds,
        kind=kind,
        export=export,
        verify=verify,
        as_json=as_json,
    )
    raise typer.Exit(0 if equal else 3)


@data.command(epilog="Example: [bold]dualpt data show DescribableTextures --root DATA --output dtd.png[/]")
def show(
    words: Words = None,
    root: Root = None,
    output: Annotated[
        Path | None, typer.Option("--output", "--out", "-o", help="Contact sheet; DATASET.png by default.")
    ] = None,
    per_class: Annotated[int, typer.Option(min=1, max=20, help="Images of each class on the sheet.")] = 4,
    classes: Annotated[int, typer.Option(min=1, help="Most classes on the sheet, the first by label.")] = 60,
    as_json: Json = False,
) -> None:
    """Print a dataset's classes and images, and draw a contact sheet."""
    from dualpt.core.errors import UserError
    from dualpt.sweeps.tools.data import show_dataset
    from dualpt.sweeps.tools.words import dataset_and_root

    dataset, root = dataset_and_root(words, root)
    if dataset is None:
        raise UserError("name the dataset to show")
    show_dataset(out, dataset, root, output, per_class, classes, as_json)


@data.command(
    epilog="Examples: [bold]dualpt data add leaves --root DATA --folder leaves --images photos[/] · "
    "[bold]dualpt data add birds --root DATA --folder cub --split split_birds.json --template 'a photo of a {}, a "
    "type of bird.'[/]"
)
def add(
    folder: Annotated[str, typer.Option(help="Folder of the dataset, under the data root.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME [KEY=VALUE]...",
            help="Its name, wherever datasets are named; data.root=FOLDER is the same as --root.",
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The data root; datasets.yaml in it gets the entry.")] = None,
    images: Annotated[str, typer.Option(help="Folder of the images under it; empty for the folder itself.")] = "",
    split: Annotated[
        str, typer.Option(help="Split file in the folder; or folders: the images lie in one folder per class.")
    ] = "folders",
    template: Annotated[str, typer.Option(help="Zero-shot template, {} is the class name.")] = "a photo of a {}.",
    title: Annotated[str, typer.Option(help="Column title in tables; the name by default.")] = "",
) -> None:
    """Register a dataset of your own; it is read and checked first."""
    from dualpt.core.errors import UserError
    from dualpt.sweeps.tools.data import add_dataset
    from dualpt.sweeps.tools.words import dataset_and_root

    name, root = dataset_and_root(words, root)
    if name is None:
        raise UserError("name the dataset to register")
    if root is None:
        raise UserError("--root: give the data root, the FOLDER whose datasets.yaml gets the entry")
    entry = {"folder": folder, "images": images, "split": split, "template": template, "title": title}
    add_dataset(out, name, root, entry)


@data.command(
    epilog="Examples: [bold]dualpt data prepare --from ~/torchvision --root DATA --dry-run[/] · "
    "[bold]dualpt data prepare --from ~/downloads --splits ~/gallop --root DATA[/]"
)
def prepare(
    sources: Annotated[
        list[Path],
        typer.Option("--from", help="Folder that holds datasets or their archives; can be given repeatedly."),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET|FOLDER]... [KEY=VALUE]...",
            help="Datasets, all by default; more folders to look into; data.root=FOLDER is the same as --root.",
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The data root to fill; datasets already there stay as they are.")
    ] = None,
    splits: Annotated[
        list[Path] | None,
        typer.Option(help="Folder, archive or file of split files, such as a clone of gallop or LDC."),
    ] = None,
    make_split: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SEED",
            help="Draw a split where the field's is not found; every table then says it isn't the field's.",
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy/--link", help="Copy images, or link to where they lie, which takes no room.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what was found and what would be done.")
    ] = False,
) -> None:
    """Fill a data root from datasets in other folders and archives, and check it.

    They are recognised by the names of their images, linked to or copied, and extracted. Nothing is downloaded, and
    nothing is written to the folders looked into. Run it again after an interruption, or when more is there. Exit
    codes: 0 all that was found is fine, 2 usage, 3 some is not.
    """
    from dualpt.core.errors import UserError
    from dualpt.sweeps.tools.prepare import prepare_data
    from dualpt.sweeps.tools.words import names_and_root

    names, root = names_and_root(words, root)
    if root is None:
        raise UserError("--root: give the data root, the FOLDER to fill")
    fine = prepare_data(
        out, names, sources, root, splits=splits or [], make_split=make_split, copy=copy, dry_run=dry_run
    )
    raise typer.Exit(0 if fine else 3)
