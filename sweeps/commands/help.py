"""`dualpt spaces`, `settings` and `doctor`. Heavy imports stay inside the commands, for a quick `--help`."""

import json
from typing import Annotated

import typer

from dualpt.core.errors import UserError
from dualpt.search_spaces.shipped import shipped_ablations, shipped_folder
from dualpt.sweeps.commands.options import Json, new_app, out

app = new_app()


@app.command()
def spaces() -> None:
    """List the sweep files and the ablations that ship."""
    from rich.markup import escape
    from rich.table import Table

    from dualpt.core.files.yaml_reader import read_yaml

    for title, folder in (("dualpt sweep …", shipped_folder()), ("dualpt ablate …", shipped_ablations())):
        table = Table(title, "", header_style="bold", box=None, pad_edge=False)
        for path in sorted(folder.glob("*.yaml")):
            table.add_row(path.stem, escape(read_yaml(path).get("description", "")))
        out.print(table)
        out.print()


@app.command()
def settings(
    method: Annotated[
        str | None, typer.Argument(help="A method on frozen features, or FILE.py: list its own options alone.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List every key of a setting with its default, allowed values and meaning."""
    from dualpt.sweeps.tools.settings import method_rows, setting_rows

    rows = setting_rows() if method is None else method_rows(method)
    if as_json:
        print(json.dumps(rows))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("key", "default", "values", "meaning", header_style="bold")
    for row in rows:
        table.add_row(*(escape(row[column]) for column in ("key", "default", "values", "meaning")))
    out.print(table)


@app.command()
def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="List what killed runs left behind: folders, checkpoints, Ray sessions.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: remove what is listed.")] = False,
) -> None:
    """Check the machine: versions, devices, folders, a tiny training step."""
    if yes and not clean:
        raise UserError("--yes: goes with --clean, and says that what is listed is to be removed")
    if clean:
        from dualpt.sweeps.tools.leftovers import clean as clean_up

        raise typer.Exit(clean_up(out, remove=yes))
    from dualpt.sweeps.tools.doctor import examine

    raise typer.Exit(examine(out))
