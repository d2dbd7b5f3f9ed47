"""What the commands share: the console, and options that mean the same everywhere. Loads nothing heavy."""

from typing import Annotated

import typer
from rich.console import Console

out = Console()
"""Where every command prints; `--json` documents go to plain stdout."""

DEFAULT_STORE = "sqlite:///mlflow.db"

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Values over the file's, e.g. optim.epochs=10 datasets=[mini-pets]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Store = Annotated[str, typer.Option("--store", help="MLflow tracking store.", show_default=True)]


def new_app() -> typer.Typer:
    """A group of commands with the project's conventions."""
    return typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
