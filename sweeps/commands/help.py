"""`dualpt spaces`, `settings` and `doctor`. Heavy imports stay inside the commands, for a quick `--help`."""

import json
import sys
from typing import Annotated

import typer

from dualpt.core.errors import UserError
from dualpt.search_spaces.shipped import shipped_ablations, shipped_folder
from dualpt.sweeps.commands.completing import shipped_files
from dualpt.sweeps.commands.options import DEFAULT_STORE, Json, new_app, out

app = new_app()
files = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
app.add_typer(files, name="spaces")


@files.callback(invoke_without_command=True)
def spaces(context: typer.Context, as_json: Json = False) -> None:
    """List the sweep files and the ablations that ship; `spaces show NAME` prints one, to be copied or extended."""
    if context.invoked_subcommand is not None:
        return
    from dualpt.core.files.yaml_reader import read_yaml

    kinds = {"sweep": shipped_folder(), "ablation": shipped_ablations()}
    found = [
        {"name": path.stem, "kind": kind, "description": read_yaml(path).get("description", ""), "file": str(path)}
        for kind, folder in kinds.items()
        for path in sorted(folder.glob("*.yaml"))
    ]
    if as_json:
        print(json.dumps(found))
        return
    from rich.markup import escape

    from dualpt.sweeps.word_table import WordTable

    for kind, title in (("sweep", "dualpt sweep …"), ("ablation", "dualpt ablate …")):
        table = WordTable(title, "", look=None)
        for one in found:
            if one["kind"] == kind:
                table.add_row(one["name"], escape(one["description"]))
        table.show(out)
        out.print()
    out.print("  `dualpt spaces show NAME` prints a file; `extends: NAME` begins one that differs from it", style="dim")


@files.command(epilog="Example: [bold]dualpt spaces show demo > mine.yaml[/]")
def show(
    name: Annotated[
        str, typer.Argument(help="Name of a sweep or an ablation that ships.", autocompletion=shipped_files)
    ],
) -> None:
    """Print a file that ships as it is, comments included."""
    from dualpt.sweeps.tools.settings import shipped_file

    print(shipped_file(name).read_text(encoding="utf-8"), end="")


@app.command(
    epilog="Examples: [bold]dualpt settings[/] · [bold]dualpt settings --resolved demo trials=20 > mine.yaml[/]"
)
def settings(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[METHOD | KEY=VALUE...]",
            help="A method on frozen features, or FILE.py: list its own options alone. With --resolved: overrides.",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--resolved", metavar="FILE", help="Print a sweep or ablation as it would run: every value."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List every key with its default, allowed values and meaning: a setting's, then a sweep's.

    With --resolved, print a sweep or an ablation with every key's value; what is printed is a file that runs.
    """
    from dualpt.sweeps.tools.settings import method_rows, setting_rows, show_rows, sweep_rows

    given = words or []
    if file is not None:
        _print_resolved(file, given, as_json)
        return
    overrides = [word for word in given if "=" in word]
    if overrides:
        raise UserError(f"{overrides[0]}: overrides belong to a sweep; name it with --resolved FILE")
    if len(given) > 1:
        raise UserError(f"{given[1]}: name one method at a time")
    if given:
        tables = {f"options of {given[0]}": method_rows(given[0])}
    else:
        tables = {
            "a setting: `train`, and `setting:` of a sweep": setting_rows(),
            "a sweep: `sweep`, `ablate`": sweep_rows(),
        }
    if as_json:
        print(json.dumps([row for rows in tables.values() for row in rows]))
        return
    for title, rows in tables.items():
        show_rows(out, title, rows)
        out.print()


def _print_resolved(file: str, overrides: list[str], as_json: bool) -> None:
    """Print a sweep or an ablation with every key's value; what the overrides fixed goes to stderr."""
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.tools.settings import as_yaml, loaded, resolved

    sweep = loaded(file, parse_overrides(overrides))
    document = resolved(sweep)
    for remark in sweep.remarks:
        print(remark if as_json else f"# {remark}", file=sys.stderr)
    print(json.dumps(document) if as_json else as_yaml(document).rstrip())


@app.command()
def doctor(
    context: typer.Context,
    clean: Annotated[
        bool, typer.Option("--clean", help="List what killed runs left behind: folders, checkpoints, Ray sessions.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: remove what is listed.")] = False,
    store: Annotated[
        str,
        typer.Option(envvar="MLFLOW_TRACKING_URI", help="With --clean: the store whose artifacts are searched too."),
    ] = DEFAULT_STORE,
) -> None:
    """Check the machine: versions, devices, folders, a tiny training step."""
    if yes and not clean:
        raise UserError("--yes: goes with --clean, and says that what is listed is to be removed")
    given = context.get_parameter_source("store")
    if not clean and given is not None and given.name == "COMMANDLINE":
        raise UserError("--store: goes with --clean, which looks through its artifacts")
    if clean:
        from dualpt.sweeps.tools.leftovers import clean as clean_up

        raise typer.Exit(clean_up(out, store=store, remove=yes))
    from dualpt.sweeps.tools.doctor import examine

    raise typer.Exit(examine(out))
