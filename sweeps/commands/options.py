"""What the commands share: the console, and options that mean the same everywhere. Loads nothing heavy."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.sweeps.commands.completing import override_keys, setting_keys

out = Console()
"""Where every command prints; `--json` documents go to plain stdout."""

DEFAULT_STORE = "sqlite:///mlflow.db"

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Values over the file's, e.g. optim.epochs=10 datasets=\\[mini-pets].",
        autocompletion=override_keys,
    ),
]
SettingValues = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Keys of the setting (see `dualpt settings`), e.g. data.root=FOLDER backbone.name=ViT-B-16.",
        autocompletion=setting_keys,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Import = Annotated[
    list[Path] | None,
    typer.Option(
        "--imported",
        help="Set results of other tools beside ours: an output folder of CoOp's code with its log.txt, or a .csv.",
    ),
]
DEFAULT_STUDY = "sqlite:///optuna.db"
Store = Annotated[
    str, typer.Option("--store", envvar="MLFLOW_TRACKING_URI", help="MLflow tracking store.", show_default=True)
]
Study = Annotated[str, typer.Option("--study", help="Optuna study storage, for the importance of parameters.")]


def say_reading(file: str) -> None:
    """Tell whoever waits at a terminal that something happens: what reads the file and plans takes seconds to load."""
    if out.is_terminal:
        out.print(f"  [dim]reading {escape(file)}[/]", highlight=False)


def whole_numbers(text: str, option: str) -> list[int]:
    """`1,4,16` as numbers of at least 1.

    Raises:
        UserError: something else.
    """
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise UserError(f"{option}: expected whole numbers of at least 1 such as 1,4,16, found '{text}'")
    return [int(word) for word in words]


def new_app() -> typer.Typer:
    """A group of commands with the project's conventions."""
    return typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
