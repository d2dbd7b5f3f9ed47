"""The command line. Heavy imports stay inside the commands, so that `--help` answers at once."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from core.errors import UserError

app = typer.Typer(
    name="dualpt",
    help="Sweeps and ablations of dual-aligned prompt tuning (DuAl-PT) of CLIP over eleven datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Settings are key=value with dotted names, for example [bold]alignment.llm_weight=4 prompt.n_prompts=2[/]; "
    "[bold]dualpt settings[/] lists them all.",
)
out = Console()

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Values over the file's, e.g. optim.epochs=10 datasets=[mini-pets]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Store = Annotated[str, typer.Option("--store", help="MLflow tracking store.", show_default=True)]
DEFAULT_STORE = "sqlite:///mlflow.db"


def main() -> None:
    """Entry point: a `UserError` becomes one line and exit code 2; a traceback appears only with `--debug`."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        app()
    except UserError as error:
        if debug:
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {_plain(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.command()
def demo() -> None:
    """Run the main job on the embedded mini grid: baselines, a small sweep, the table and the figure.

    Everything is kept: a second `dualpt demo` trains only what is missing.
    """
    from sweeps.demo import run_demo

    raise typer.Exit(run_demo(out))


@app.command(epilog="Example: [bold]dualpt train --dataset mini-pets --shots 16 --method dualpt optim.epochs=40[/]")
def train(
    dataset: Annotated[str, typer.Option(help="Dataset name, e.g. mini-pets or DescribableTextures.")],
    overrides: Overrides = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="Training images per class, 16 by default; or data.shots=K.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds, trained together as replicas.")] = "1",
    method: Annotated[
        str, typer.Option(help="A published method, or dualpt: the starting point of the setting.")
    ] = "dualpt",
    protocol: Annotated[str, typer.Option(help="few-shot or base-to-new.")] = "few-shot",
    save: Annotated[Path | None, typer.Option(help="Folder for learned contexts and metrics.")] = None,
    as_json: Json = False,
) -> None:
    """Train and judge one setting on one dataset, without Ray or MLflow."""
    from sweeps.single import train_once

    train_once(out, dataset, shots, seeds, method, protocol, overrides or [], save, as_json)


@app.command(
    epilog="Examples: [bold]dualpt sweep mini-grid --dry-run[/] · "
    "[bold]dualpt sweep my.yaml data.root=/data datasets=[DescribableTextures] trials=40[/]"
)
def sweep(
    file: Annotated[str, typer.Argument(help="A sweep file, or the name of one that ships (see `dualpt spaces`).")],
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan: cells, finished ones, time.")] = False,
    progress: Annotated[bool, typer.Option(help="Live progress.")] = True,
    as_json: Json = False,
) -> None:
    """Run a sweep file, or what is missing of it: running the same sweep again trains nothing twice.

    Exit codes: 0 all cells done, 2 usage or configuration, 3 some cells failed, 130 interrupted.
    """
    from search_spaces.sweep_file import load_sweep
    from search_spaces.yaml_reader import parse_overrides
    from sweeps.launch import draw_mini_datasets, launch
    from sweeps.launch import dry_run as show_plan

    loaded = load_sweep(shipped_or_path(file), parse_overrides(overrides or []))
    draw_mini_datasets(loaded, console=out, progress=progress and not as_json)
    if dry_run:
        show_plan(loaded, console=out, as_json=as_json)
        return
    outcome = launch(loaded, console=out, progress=progress and not as_json)
    if as_json:
        print(json.dumps(outcome.summary()))
    raise typer.Exit(outcome.exit_code)


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


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Name of a sweep; all of the store by default.")] = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Show how far sweeps are: cells finished, failed and running."""
    from sweeps.comparing import show_status

    show_status(out, name, store=store, as_json=as_json)


@app.command()
def spaces() -> None:
    """List the sweep files that ship."""
    from search_spaces.yaml_reader import read_yaml

    for path in sorted(shipped_folder().glob("*.yaml")):
        out.print(f"[bold]{path.stem}[/]  {read_yaml(path).get('description', '')}", highlight=False)


@app.command()
def settings(as_json: Json = False) -> None:
    """List every key of a setting with its default, allowed values and meaning."""
    from sweeps.documentation import setting_rows

    rows = setting_rows()
    if as_json:
        print(json.dumps(rows))
        return
    from rich.table import Table

    table = Table("key", "default", "values", "meaning", header_style="bold")
    for row in rows:
        table.add_row(row["key"], row["default"], row["values"], row["meaning"])
    out.print(table)


@app.command()
def doctor() -> None:
    """Check the machine: versions, devices, folders, a tiny training step."""
    from sweeps.doctor import examine

    raise typer.Exit(examine(out))


def shipped_folder() -> Path:
    import search_spaces

    return Path(search_spaces.__path__[0])


def shipped_or_path(file: str) -> Path:
    """A path as given, or the shipped file of that name.

    Raises:
        UserError: neither exists; the nearest shipped name is given.
    """
    from core.errors import nearest

    path = Path(file)
    shipped = shipped_folder() / f"{file}.yaml"
    if path.is_file() or not shipped.is_file():
        if not path.is_file():
            names = [p.stem for p in shipped_folder().glob("*.yaml")]
            raise UserError(f"{file}: no such sweep file{nearest(path.stem, names)} (`dualpt spaces` lists what ships)")
        return path
    return shipped


@app.callback()
def _before_any_command(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"dualpt {installed('dualpt')}")
        raise typer.Exit
    # MLflow and Ray would otherwise report usage or warn on every start.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


if __name__ == "__main__":
    main()
