"""`dualpt data check`, `draw`, `show` and `add`. Heavy imports stay inside the commands, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.options import Json, new_app, out

app = new_app()
data = new_app()
app.add_typer(data, name="data", help="Check, draw, show and add datasets.")

Root = Annotated[Path | None, typer.Option(help="The data root: the folder that holds the datasets' folders.")]


@data.command(
    epilog="Examples: [bold]dualpt data check --root DATA[/] · [bold]dualpt data check EuroSAT --root DATA --deep[/]"
)
def check(
    datasets: Annotated[
        list[str] | None, typer.Argument(help="Datasets, or mini, real, imagenet-variants; all by default.")
    ] = None,
    root: Root = None,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every image, and list what cannot be read.")] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Demand as many classes and images as published.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is there of each dataset: classes, images against the published numbers, missing and odd files.

    Without names: the eleven and your own, and those of ImageNet's variants that are there; without --root, the mini
    grid. Exit codes: 0 all that were asked for are fine, 2 usage, 3 some are not.
    """
    from dualpt.sweeps.tools.data import check_datasets

    fine = check_datasets(out, datasets or [], root, deep=deep, published=published, as_json=as_json)
    raise typer.Exit(0 if fine else 3)


@data.command(epilog="Example: [bold]dualpt data draw OxfordPets --root DATA --shots 4 --seed 1 --json[/]")
def draw(
    dataset: Annotated[str | None, typer.Argument(help="Dataset; may be left out with --split.")] = None,
    root: Root = None,
    split: Annotated[Path | None, typer.Option(help="A split file to draw from in place of the data root's.")] = None,
    shots: Annotated[int, typer.Option(min=1, help="Training images per class.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 1,
    as_json: Json = False,
) -> None:
    """Print a few-shot sample, train and val in the order of the draw, and its fingerprint; needs no images."""
    from dualpt.sweeps.tools.data import draw_sample

    draw_sample(dataset, root, split, shots, seed, as_json)


@data.command(epilog="Example: [bold]dualpt data show DescribableTextures --root DATA --output dtd.png[/]")
def show(
    dataset: Annotated[str, typer.Argument(help="Dataset.")],
    root: Root = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Contact sheet; DATASET.png by default.")
    ] = None,
    per_class: Annotated[int, typer.Option(min=1, max=20, help="Images of each class on the sheet.")] = 4,
    classes: Annotated[int, typer.Option(min=1, help="Most classes on the sheet, the first by label.")] = 60,
    as_json: Json = False,
) -> None:
    """Print a dataset's classes and images, and draw a contact sheet."""
    from dualpt.sweeps.tools.data import show_dataset

    show_dataset(out, dataset, root, output, per_class, classes, as_json)


@data.command(
    epilog="Examples: [bold]dualpt data add leaves --root DATA --folder leaves --images photos[/] · "
    "[bold]dualpt data add birds --root DATA --folder cub --split split_birds.json --template 'a photo of a {}, a "
    "type of bird.'[/]"
)
def add(
    name: Annotated[str, typer.Argument(help="Its name, wherever datasets are named.")],
    root: Annotated[Path, typer.Option(help="The data root; datasets.yaml in it gets the entry.")],
    folder: Annotated[str, typer.Option(help="Folder of the dataset, under the data root.")],
    images: Annotated[str, typer.Option(help="Folder of the images under it; empty for the folder itself.")] = "",
    split: Annotated[
        str, typer.Option(help="Split file in the folder; or folders: the images lie in one folder per class.")
    ] = "folders",
    template: Annotated[str, typer.Option(help="Zero-shot template, {} is the class name.")] = "a photo of a {}.",
    title: Annotated[str, typer.Option(help="Column title in tables; the name by default.")] = "",
) -> None:
    """Register a dataset of your own; it is read and checked first."""
    from dualpt.sweeps.tools.data import add_dataset

    entry = {"folder": folder, "images": images, "split": split, "template": template, "title": title}
    add_dataset(out, name, root, entry)
