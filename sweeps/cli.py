"""The command line: groups of commands from `dualpt.sweeps.commands`, and how errors reach the user."""

import errno
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from dualpt.core.errors import UserError
from dualpt.sweeps.commands import (
    ablate,
    cluster,
    data,
    describe,
    features,
    inspect,
    moving,
    predict,
    report,
    results,
    running,
    steer,
)
from dualpt.sweeps.commands import help as help_commands
from dualpt.sweeps.console import without_telemetry
from dualpt.sweeps.stores.addresses import masked

app = typer.Typer(
    name="dualpt",
    help="Sweeps and ablations of dual-aligned prompt tuning (DuAl-PT) of CLIP over eleven datasets.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Settings are key=value with dotted names, for example [bold]alignment.llm_weight=4 prompt.n_prompts=2[/]; "
    "[bold]dualpt settings[/] lists them all.",
)
GROUPS = (
    running,
    ablate,
    steer,
    results,
    report,
    inspect,
    predict,
    moving,
    data,
    features,
    describe,
    cluster,
    help_commands,
)
for group in GROUPS:
    app.add_typer(group.app)

UsageError: Any = typer.BadParameter.__mro__[1]
"""Click's, from wherever this release of Typer has its Click."""


def main() -> None:
    """Entry point: bad input becomes one line and exit code 2; a traceback appears only with `--debug`."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        _refuse_empty(sys.argv[1:])
        sys.exit(app(prog_name="dualpt", standalone_mode=False))
    except UserError as error:
        if debug:
            raise
        _refuse(masked(str(error)))
    except UsageError as error:
        _refuse(_usage_fault(error))
    except OSError as error:
        if debug or error.errno != errno.ENAMETOOLONG:
            raise
        _refuse(f"{error.filename}: no file can have a name this long; give a shorter one")
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


def _refuse_empty(words: Sequence[str]) -> None:
    """Let no `--save "$OUT"` with OUT unset write into the working folder, or take a default.

    Raises:
        UserError: a word is empty, or an option's value behind its `=`.
    """
    for before, word in pairwise(("dualpt", *words)):
        given, separator, value = word.partition("=")
        empty = before if not word else given if separator and not value and given.startswith("--") else None
        if empty is not None:
            raise UserError(f"{empty}: the word after it is empty; is a variable in this command unset?")


def _refuse(fault: str) -> NoReturn:
    """Print a fault, if any, as one line without control characters, and exit."""
    if fault:
        line = " ".join(fault.split())
        shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
        Console(stderr=True).print(f"[bold red]error:[/] {escape(shown)}", highlight=False, soft_wrap=True)
    sys.exit(2)


def _usage_fault(error: Any) -> str:
    """What Click says of the words on the command line; nothing where it has printed the help of a group."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    return f"{said} (see `{error.ctx.command_path} --help`)" if said and error.ctx else said


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"dualpt {version('dualpt')}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    without_telemetry()


if __name__ == "__main__":
    main()
