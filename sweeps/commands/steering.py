"""`dualpt stop` and `clone`. Heavy imports stay inside the commands, for a quick `--help`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from dualpt.sweeps.commands.completing import recorded_sweeps, recorded_trials, searched_keys
from dualpt.sweeps.commands.options import DEFAULT_STORE, Store, new_app, out

app = new_app()

Name = Annotated[str, typer.Argument(help="Name of a sweep or ablation.", autocompletion=recorded_sweeps)]


def _say(lines: Sequence[str]) -> None:
    first, *others = lines
    out.print(first, highlight=False, markup=False, soft_wrap=True)
    for line in others:
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


@app.command(epilog="Examples: [bold]dualpt stop demo[/] · [bold]dualpt stop demo trial-003[/]")
def stop(
    name: Name,
    trial: Annotated[
        str | None, typer.Argument(help="Stop this trial alone.", autocompletion=recorded_trials, show_default=False)
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """End a running sweep, on whatever machine: cells in training finish and are recorded; or stop one trial of it.

    A stopped trial gets no further cell, now or in later launches (`dualpt sweep --restart-stopped` goes on with it).
    """
    from dualpt.sweeps.steering.stopping import stop as stop_it

    _say(stop_it(store, name, trial))


@app.command(
    epilog="Examples: [bold]dualpt clone demo trial-003 optim.learning_rate=0.004[/] · "
    "[bold]dualpt clone demo best alignment.llm_weight=8[/]"
)
def clone(
    name: Name,
    trial: Annotated[str, typer.Argument(help="The trial to start from.", autocompletion=recorded_trials)],
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Searched keys.", autocompletion=searched_keys),
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Try a trial's setting with other values next, in the same search; where no launch runs it, in the next launch."""
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.steering.cloning import clone as clone_it

    _say(clone_it(store, name, trial, parse_overrides(values or [])))
