"""`dualpt demo`, `train` and `sweep`. Heavy imports stay inside the commands, for a quick `--help`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dualpt.core.errors import UserError
from dualpt.search_spaces.shipped import shipped_or_path
from dualpt.sweeps.commands.completing import datasets, methods, recorded_sweeps, shipped_sweeps
from dualpt.sweeps.commands.options import (
    DEFAULT_STORE,
    Json,
    Overrides,
    SettingValues,
    Store,
    new_app,
    out,
    say_reading,
    whole_numbers,
)

if TYPE_CHECKING:
    from dualpt.search_spaces.sweep import LoadedSweep

app = new_app()


@app.command()
def demo() -> None:
    """Run the main job on the embedded mini grid: baselines, a small sweep, the table and the figure.

    Everything is kept: a second `dualpt demo` trains only what is missing.
    """
    from dualpt.sweeps.launching.demo import run_demo

    raise typer.Exit(run_demo(out))


@app.command(
    epilog="Examples: [bold]dualpt train --dataset mini-pets --shots 16 --method dualpt optim.epochs=40[/] · "
    "[bold]dualpt train --from demo --dataset mini-cars[/] · "
    "[bold]dualpt train --from demo/trial-003 --dataset mini-cars[/]"
)
def train(
    dataset: Annotated[
        str, typer.Option(help="Dataset name, e.g. mini-pets or DescribableTextures.", autocompletion=datasets)
    ],
    overrides: SettingValues = None,
    shots: Annotated[
        int | None, typer.Option(min=1, help="Training images per class, 16 by default; or data.shots=K.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds trained together as replicas: 1,2,3 or 1-10 or draws(10).")] = "1",
    method: Annotated[
        str | None,
        typer.Option(
            help="A published method, or dualpt: the starting point of the setting.",
            show_default="dualpt",
            autocompletion=methods,
        ),
    ] = None,
    recorded: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SWEEP[/TRIAL]",
            help="Start from what a sweep selected, or a trial's setting.",
            autocompletion=recorded_sweeps,
        ),
    ] = None,
    store: Store = DEFAULT_STORE,
    protocol: Annotated[
        str, typer.Option(help="few-shot, base-to-new, cross-dataset or domain-generalization.")
    ] = "few-shot",
    targets: Annotated[
        str | None, typer.Option(help="Comma-separated datasets that cross-dataset tests on; the other ten by default.")
    ] = None,
    selection: Annotated[
        str | None, typer.Option(help="Judged by: validation, support-holdout, support-cv or none.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for learned contexts and metrics.")] = None,
    as_json: Json = False,
) -> None:
    """Train and judge one setting on one dataset, without Ray or MLflow."""
    from dualpt.sweeps.ledger.trial_settings import trial_setting
    from dualpt.sweeps.tools.train import cells_of, train_once

    if recorded is not None and method is not None:
        raise UserError(f"--method {method}: --from {recorded} brings its own; give one of them")
    start = ("dualpt" if method is None else method) if recorded is None else trial_setting(store, recorded)
    if recorded is not None and not as_json:
        out.print(f"  the setting of {recorded}", highlight=False, markup=False)
    cells = cells_of(dataset, shots, seeds, start, protocol, targets, overrides or [], selection)
    train_once(out, cells, save=save, as_json=as_json)


@app.command(
    epilog="Examples: [bold]dualpt sweep mini-grid --dry-run[/] · "
    "[bold]dualpt sweep my.yaml data.root=/data datasets=[DescribableTextures] trials=40[/] · "
    "[bold]dualpt sweep --again demo trials=20[/] · "
    "[bold]dualpt sweep mini-grid search.racing=asha --simulate --gpus 1,4 --trials 10,1000[/]"
)
def sweep(
    file: Annotated[
        str,
        typer.Argument(
            help="A sweep file, or the name of one that ships (see `dualpt spaces`).", autocompletion=shipped_sweeps
        ),
    ],
    overrides: Overrides = None,
    again: Annotated[
        bool, typer.Option("--again", help="FILE is the name of a recorded sweep: launch it as it was, from the store.")
    ] = False,
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="Train only the cells that are on record as failed.")
    ] = False,
    restart_stopped: Annotated[
        bool, typer.Option("--restart-stopped", help="Also go on with trials that `dualpt stop` has stopped.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan: cells, finished ones, time.")] = False,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Predict makespan and idle share; trains nothing.")
    ] = False,
    gpus: Annotated[
        str | None, typer.Option(help="With --simulate: numbers of GPUs (or CPU workers); 1,4,16 by default.")
    ] = None,
    trials: Annotated[
        str | None, typer.Option(help="With --simulate: numbers of candidates; the file's by default.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Live progress.")] = True,
    as_json: Json = False,
) -> None:
    """Run a sweep file, or what is missing of it: running the same sweep again trains nothing twice.

    Exit codes: 0 all cells done, 2 usage or configuration, 3 some cells failed, 4 budget spent (run.max_hours),
    130 interrupted.
    """
    progress_bars = progress and not as_json
    if progress_bars:
        say_reading(file)
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.launching.before_training import draw_mini_datasets
    from dualpt.sweeps.launching.launch import launch
    from dualpt.sweeps.launching.outcome import report
    from dualpt.sweeps.launching.preview import dry_run as show_plan
    from dualpt.sweeps.launching.preview import simulate as show_simulation

    _check_sweep_options(simulate=simulate, dry_run=dry_run, only_failed=only_failed, gpus=gpus, trials=trials)
    loaded = _loaded(file, parse_overrides(overrides or []), again=again)
    if simulate:
        sizes = [] if trials is None else whole_numbers(trials, "--trials")
        workers = whole_numbers("1,4,16" if gpus is None else gpus, "--gpus")
        show_simulation(loaded, gpus=workers, trials=sizes, console=out, as_json=as_json)
        return
    if dry_run:
        from dualpt.sweeps.tools.features import feature_costs

        show_plan(loaded, console=out, progress=progress_bars, as_json=as_json, features=feature_costs)
        return
    draw_mini_datasets(loaded, console=out, progress=progress_bars)
    outcome = launch(
        loaded, console=out, progress=progress_bars, only_failed=only_failed, restart_stopped=restart_stopped
    )
    if as_json:
        print(json.dumps(outcome.summary()))
    elif not progress:
        report(outcome, out)
    raise typer.Exit(outcome.exit_code)


def _loaded(file: str, overrides: Mapping[str, Any], *, again: bool) -> "LoadedSweep":
    """The sweep of a file, or with `again` of a record."""
    if again:
        from dualpt.sweeps.launching.again import sweep_again

        return sweep_again(file, overrides)
    from dualpt.search_spaces.sweep_file import load_sweep

    return load_sweep(shipped_or_path(file), overrides)


def _check_sweep_options(
    *, simulate: bool, dry_run: bool, only_failed: bool, gpus: str | None, trials: str | None
) -> None:
    """Refuse options of `dualpt sweep` that do not go together."""
    if not simulate and gpus is not None:
        raise UserError("--gpus: belongs to --simulate; a launch takes the machines it finds, or run.max_concurrent=N")
    if not simulate and trials is not None:
        raise UserError("--trials: belongs to --simulate; a launch takes trials=N")
    if sum((simulate, dry_run, only_failed)) > 1:
        raise UserError("--simulate, --dry-run and --only-failed: give one of them")
