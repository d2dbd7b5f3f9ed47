"""`dualpt board`, `stop`, `clone`, `note`, `rename` and `remove`. Heavy imports stay inside, for a quick `--help`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from dualpt.sweeps.commands.completing import recorded_sweeps, recorded_trials, searched_keys
from dualpt.sweeps.commands.options import DEFAULT_STORE, DEFAULT_STUDY, Store, Study, new_app, out
from dualpt.sweeps.console import say_whole

app = new_app()

StudyOfSweep = Annotated[
    str | None, typer.Option("--study", help="Optuna study storage; the one of the last launch by default.")
]
Name = Annotated[str, typer.Argument(help="Name of a sweep or ablation.", autocompletion=recorded_sweeps)]


def _say(lines: Sequence[str]) -> None:
    first, *others = lines
    out.print(first, highlight=False, markup=False, soft_wrap=True)
    for line in others:
        say_whole(out, line)


@app.command(
    epilog="Examples: [bold]dualpt board[/] · [bold]dualpt board demo mine --port 0[/] · "
    "[bold]dualpt board --mlflow http://127.0.0.1:5000 --optuna http://127.0.0.1:8080[/]"
)
def board(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Sweeps to show; all by default.", autocompletion=recorded_sweeps),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 8300,
    mlflow: Annotated[
        str | None, typer.Option(help="Address of an `mlflow ui` to link to; the store's own where it is a server.")
    ] = None,
    optuna: Annotated[str | None, typer.Option(help="Address of an `optuna-dashboard` to link to.")] = None,
    store: Store = DEFAULT_STORE,
    study: Study = DEFAULT_STUDY,
) -> None:
    """Serve one local page over the store: cells as they fill, candidates, losses, two sweeps side by side.

    It reads and never writes, and answers only this machine unless --host says otherwise. Ctrl-C ends it.
    """
    from dualpt.sweeps.board.serving import serve_board

    serve_board(out, names or [], store=store, study=study, host=host, port=port, mlflow=mlflow, optuna=optuna)


@app.command(epilog="Examples: [bold]dualpt stop demo[/] · [bold]dualpt stop demo trial-003[/]")
def stop(
    name: Name,
    trial: Annotated[
        str | None, typer.Argument(help="Stop only this trial.", autocompletion=recorded_trials, show_default=False)
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """End a sweep that runs on any machine, or one trial of it; cells in training finish and are recorded.

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
    """Try a trial's setting with other values next, in the same search; if no launch runs it, in the next launch."""
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.steering.cloning import clone as clone_it

    _say(clone_it(store, name, trial, parse_overrides(values or [])))


@app.command(
    epilog="Examples: [bold]dualpt note demo 'before the new draws'[/] · "
    "[bold]dualpt note demo trial-003 'diverges at 16 shots' --tag keep=no[/] · "
    "[bold]dualpt note demo best/mini-pets/16/1 'look at the cats'[/]"
)
def note(
    name: Name,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TRIAL|CELL] TEXT",
            help="TRIAL, or a cell as TRIAL/DATASET/SHOTS/SEED; the text in quotes.",
            autocompletion=recorded_trials,
        ),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A tag; without a value it is removed.")
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the text; give only the TRIAL or CELL then.")
    ] = False,
    store: Store = DEFAULT_STORE,
) -> None:
    """Write a note or tags on a sweep, a trial or a cell: shown in status, compare --candidates, board and report."""
    from dualpt.sweeps.steering.noting import note as note_it

    _say(note_it(store, name, [*(words or []), ""] if remove else words or [], tag or []))


@app.command(epilog="Example: [bold]dualpt rename demo demo-2026[/]")
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(help="Its new name, which nothing in the store may have.")],
    store: Store = DEFAULT_STORE,
    study: StudyOfSweep = None,
) -> None:
    """Rename a sweep that no launch runs, in MLflow and Optuna.

    If it is cut off, the same command completes it.
    """
    from dualpt.sweeps.console import progress_bar
    from dualpt.sweeps.steering.renaming import rename as rename_it

    with progress_bar(out, quiet=not out.is_terminal) as bar:
        task = bar.add_task("runs", total=None)
        said = rename_it(store, name, new, study, lambda n, total: bar.update(task, completed=n, total=total))
    _say(said)


@app.command(epilog="Examples: [bold]dualpt remove demo[/] · [bold]dualpt remove demo trial-003 --yes[/]")
def remove(
    name: Name,
    trial: Annotated[
        str | None, typer.Argument(help="Delete only this trial.", autocompletion=recorded_trials, show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    store: Store = DEFAULT_STORE,
    study: StudyOfSweep = None,
) -> None:
    """Delete a sweep that no launch runs, or one trial of it, from MLflow and Optuna: shows what goes, and asks once.

    MLflow keeps deleted runs until they are purged; the last lines say how to restore or purge them.
    """
    from dualpt.sweeps.steering.removing import removal
    from dualpt.sweeps.steering.removing_trial import trial_removal

    found = removal(store, name, study) if trial is None else trial_removal(store, name, trial, study)
    _say(found.lines())
    if yes or typer.confirm("remove this?"):
        _say(found.remove())
