"""`dualpt board`. Heavy imports stay inside the command, for a quick `--help`."""

from typing import Annotated

import typer

from dualpt.sweeps.commands.completing import recorded_sweeps
from dualpt.sweeps.commands.options import DEFAULT_STORE, DEFAULT_STUDY, Store, Study, new_app, out

app = new_app()


@app.command(
    epilog="Examples: [bold]dualpt board[/] · [bold]dualpt board demo mine --port 0[/] · "
    "[bold]dualpt board --mlflow http://127.0.0.1:5000 --optuna http://127.0.0.1:8080[/]"
)
def board(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="The only sweeps to show; all by default.", autocompletion=recorded_sweeps
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own are let in.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free.")] = 8300,
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
