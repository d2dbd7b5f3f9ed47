"""`dualpt ablate`. Heavy imports stay inside the command, for a quick `--help`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dualpt.core.errors import UserError
from dualpt.search_spaces.shipped import shipped_ablation_or_path
from dualpt.sweeps.commands.completing import shipped_ablations
from dualpt.sweeps.commands.options import Json, Overrides, new_app, out, say_reading
from dualpt.sweeps.console import say
from dualpt.sweeps.outputs import STDOUT, form_of

if TYPE_CHECKING:
    from dualpt.search_spaces.ablation import LoadedAblation

app = new_app()


@app.command(
    epilog="Examples: [bold]dualpt ablate components --dry-run[/] · "
    "[bold]dualpt ablate factorial-2x2 shots=[16] datasets=\\[mini-pets,mini-cars][/] · "
    "[bold]dualpt ablate components --from demo name=demo-components[/]"
)
def ablate(
    file: Annotated[
        str,
        typer.Argument(
            help="An ablation file, or the name of one that ships (see `dualpt spaces`).",
            autocompletion=shipped_ablations,
        ),
    ],
    overrides: Overrides = None,
    again: Annotated[
        bool, typer.Option("--again", help="FILE is the name of a recorded ablation: launch it as it was.")
    ] = False,
    restart_stopped: Annotated[
        bool, typer.Option("--restart-stopped", help="Also go on with variants that `dualpt stop` has stopped.")
    ] = False,
    recorded: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SWEEP[/TRIAL]",
            help="The reference: what a sweep selected, or a trial's setting.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan: cells, finished ones, time.")] = False,
    progress: Annotated[bool, typer.Option(help="Live progress.")] = True,
    output: Annotated[
        Path | None, typer.Option("--output", "--out", "-o", help="Write the tables to a file too; - is stdout.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="Its format: markdown, latex, latex-document, csv or json; by its name."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an ablation, or what is missing of it, and end with its table and statistics.

    Exit codes: 0 all cells done, 2 usage or configuration, 3 some cells failed, 4 budget spent (run.max_hours),
    130 interrupted.
    """
    if progress and not as_json and output != STDOUT:
        say_reading(file)
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.ablation.run import run_ablation

    _check_output(form, output, as_json=as_json)
    form = form_of(form, output, default="markdown")
    values = parse_overrides(overrides or [])
    if again and recorded is not None:
        raise UserError(f"--from {recorded}: --again keeps the reference on record; give one of them")
    if recorded is not None:
        values = _reference_of(recorded, values, only_looking=dry_run) | values
        if not as_json and output != STDOUT:
            say(out, f"the reference is the setting of {recorded}")
    code = run_ablation(
        out,
        _loaded(file, values, again=again),
        dry_run=dry_run,
        progress=progress,
        output=output,
        form=form,
        as_json=as_json,
        restart_stopped=restart_stopped,
    )
    raise typer.Exit(code)


def _check_output(form: str | None, output: Path | None, *, as_json: bool) -> None:
    """Refuse options of the output that do not go together."""
    if form is not None and output is None:
        raise UserError("--format: belongs to --output; name the file with -o FILE")
    if as_json and output == STDOUT:
        raise UserError("--output -: --json prints a document already; give one of them")


def _reference_of(recorded: str, overrides: Mapping[str, Any], *, only_looking: bool) -> dict[str, Any]:
    """The setting of a recorded sweep or trial, as overrides of an ablation's reference."""
    from dualpt.search_spaces.sweep import Run
    from dualpt.sweeps.ledger.trial_settings import trial_values

    store = str(overrides.get("run.tracking_uri") or Run().tracking_uri)
    return trial_values(store, recorded, only_looking=only_looking)


def _loaded(file: str, overrides: Mapping[str, Any], *, again: bool) -> "LoadedAblation":
    """The ablation of a file, or with `again` of a record."""
    if again:
        from dualpt.sweeps.launching.again import ablation_again

        return ablation_again(file, overrides)
    from dualpt.search_spaces.ablation import load_ablation

    return load_ablation(shipped_ablation_or_path(file), overrides)
