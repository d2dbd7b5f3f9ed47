"""`dualpt cluster check` and `submit`. Heavy imports stay inside the commands, for a quick `--help`."""

from pathlib import Path
from typing import Annotated

import typer

from dualpt.sweeps.commands.options import Json, Overrides, new_app, out

app = new_app()
group = new_app()
app.add_typer(group, name="cluster", help="Check a cluster file; run a sweep as a job of a Ray cluster.")


@group.command(
    epilog="Examples: [bold]dualpt cluster check ray_cluster.yaml[/] · "
    "[bold]dualpt cluster check ray_cluster.yaml --sweep real-grid run.gpus_per_trial=0.25[/]"
)
def check(
    file: Annotated[Path, typer.Argument(help="A file of Ray's cluster launcher, or a KubeRay document.")],
    overrides: Overrides = None,
    sweep: Annotated[str | None, typer.Option("--sweep", help="A sweep whose trials must fit the machines.")] = None,
    as_json: Json = False,
) -> None:
    """Check a cluster file against Ray's own schema and this project's rules, offline.

    Exit codes: 0 without errors (there may be warnings), 2 with errors.
    """
    from dualpt.core.errors import UserError
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.search_spaces.shipped import shipped_or_path
    from dualpt.search_spaces.sweep_file import load_sweep
    from dualpt.sweeps.cluster.check import show_check

    if overrides and sweep is None:
        raise UserError(f"{overrides[0]}: overrides belong to a sweep; name it with --sweep")
    loaded = None if sweep is None else load_sweep(shipped_or_path(sweep), parse_overrides(overrides or []))
    raise typer.Exit(show_check(out, file, sweep=loaded, as_json=as_json))


@group.command(
    epilog="Example: [bold]dualpt cluster submit my.yaml --address http://head:8265 trials=200 "
    "run.tracking_uri=http://head:5000[/]"
)
def submit(
    file: Annotated[str, typer.Argument(help="A sweep file, which is sent along, or the name of one that ships.")],
    overrides: Overrides = None,
    address: Annotated[
        str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard.")
    ] = "http://127.0.0.1:8265",
    follow: Annotated[bool, typer.Option(help="Print the job's log until it ends, and exit with its code.")] = True,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="As in `dualpt sweep`.")] = False,
) -> None:
    """Run a sweep as a Ray job on the cluster's head, follow its log, and exit with its exit code."""
    from dualpt.sweeps.cluster.submit import submit_sweep

    options = ["--only-failed"] if only_failed else []
    raise typer.Exit(submit_sweep(out, file, overrides or [], address=address, follow=follow, options=options))
