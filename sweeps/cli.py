"""The command line: groups of commands from `dualpt.sweeps.commands`, and how errors reach the user."""

import os
import sys
from typing import Annotated

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
)
from dualpt.sweeps.commands import help as help_commands
from dualpt.sweeps.stores.addresses import masked

app = typer.Typer(
    name="dualpt",
    help="Sweeps and ablations of dual-aligned prompt tuning (DuAl-PT) of CLIP over eleven datasets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Settings are key=value with dotted names, for example [bold]alignment.llm_weight=4 prompt.n_prompts=2[/]; "
    "[bold]dualpt settings[/] lists them all.",
)
GROUPS = (
    running,
    ablate,
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


def main() -> None:
    """Entry point: a `UserError` becomes one line and exit code 2; a traceback appears only with `--debug`."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        app()
    except UserError as error:
        if debug:
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {escape(masked(str(error)))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


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
