"""`dualpt compare`, `figure`, `evaluate` and `status`. Heavy imports stay inside the commands, for a quick `--help`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from dualpt.core.errors import UserError
from dualpt.sweeps.commands.completing import figures, recorded_sweeps
from dualpt.sweeps.commands.options import DEFAULT_STORE, DEFAULT_STUDY, Import, Json, Store, Study, new_app, out
from dualpt.sweeps.outputs import form_of

app = new_app()

Common = Annotated[bool, typer.Option("--common", help="Compare on what all the sweeps cover.")]
MixSelections = Annotated[
    bool,
    typer.Option("--mix-selections", help="Compare sweeps that selected by different images, or drew differently."),
]


@app.command(
    epilog="Examples: [bold]dualpt compare demo --shots 16 --figure curves.pdf[/] · "
    "[bold]dualpt compare demo mine --baseline CoOp --common[/] · "
    "[bold]dualpt compare demo --all-shots --format latex -o table.tex[/]"
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Sweeps or ablations (MLflow experiments).", autocompletion=recorded_sweeps
        ),
    ],
    shots: Annotated[
        int | None, typer.Option(min=0, help="Shots of the table; the largest finished by default.")
    ] = None,
    all_shots: Annotated[
        bool, typer.Option("--all-shots", help="A table for each number of shots, and one by shots.")
    ] = False,
    metric: Annotated[str | None, typer.Option(help="Metric of the table; the protocol's own by default.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Needed where a sweep holds cells of several.")] = None,
    baseline: Annotated[str | None, typer.Option(help="A method, by name or title, to show differences to.")] = None,
    common: Common = False,
    mix_selections: MixSelections = False,
    published: Annotated[
        bool, typer.Option("--published", help="Set published rows beside ours: real grid, CLIP ViT-B/16.")
    ] = False,
    imported: Import = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Add what each search would have given had it selected on test.")
    ] = False,
    candidates: Annotated[
        bool,
        typer.Option("--candidates", help="Show instead what a search has tried, ranked, with the searched values."),
    ] = False,
    given_form: Annotated[
        str | None,
        typer.Option("--format", help="table, markdown, latex, latex-document, csv or json; the file's by default."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "--out", "-o", help="Write the tables to a file, .md, .tex, .csv or .json; - is stdout."
        ),
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw few-shot curves to .png, .pdf or .svg.")] = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Print the table: methods by datasets and average, mean and spread over seeds with n."""
    from dualpt.sweeps.comparison.compare import compare_sweeps, show_candidates

    form = form_of(given_form, output, default="table", as_json=as_json)
    if candidates:
        given: dict[str, object] = {
            "--shots": shots,
            "--all-shots": all_shots,
            "--metric": metric,
            "--protocol": protocol,
            "--baseline": baseline,
            "--common": common,
            "--published": published,
            "--oracle": oracle,
            "--figure": figure,
            "--imported": imported,
        }
        _refuse_beside_candidates(given)
        show_candidates(out, names, form=form, output=output, store=store)
        return
    compare_sweeps(
        out,
        names,
        shots=shots,
        all_shots=all_shots,
        metric=metric,
        protocol=protocol,
        baseline=baseline,
        common=common,
        mix_selections=mix_selections,
        published=published,
        imported=imported or (),
        oracle=oracle,
        form=form,
        output=output,
        figure=figure,
        store=store,
    )


def _refuse_beside_candidates(given: Mapping[str, object]) -> None:
    """Refuse options of the table of methods, by name, of which one was given."""
    if others := [option for option, value in given.items() if value not in (None, False)]:
        raise UserError(f"{others[0]}: belongs to the table of methods; leave it or --candidates out")


@app.command(
    epilog="Examples: [bold]dualpt figure curves demo -o curves.pdf[/] · [bold]dualpt figure ranks demo --shots 16 -o "
    "ranks.png[/] · [bold]dualpt figure slices demo -o slices.png[/]"
)
def figure(
    kind: Annotated[
        str,
        typer.Argument(
            help="curves, scatter, radar, pareto, ranks, training, parallel, slices or importance.",
            autocompletion=figures,
        ),
    ],
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Sweeps or ablations.", autocompletion=recorded_sweeps)
    ],
    output: Annotated[Path, typer.Option("--output", "--out", "-o", help="Where to: .png, .pdf or .svg; - is stdout.")],
    shots: Annotated[
        int | None, typer.Option(min=0, help="Shots of the figure; the largest finished by default.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric of curves, radar, pareto and ranks; the protocol's own by default.")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="Needed where a sweep holds cells of several.")] = None,
    common: Common = False,
    mix_selections: MixSelections = False,
    imported: Import = None,
    form: Annotated[str | None, typer.Option("--format", help="png, pdf or svg; the file's by default.")] = None,
    store: Store = DEFAULT_STORE,
    study: Study = DEFAULT_STUDY,
) -> None:
    """Draw one figure: methods over shots, datasets or ranks, or the search and the training behind them."""
    from dualpt.sweeps.comparison.draw import draw

    draw(
        out,
        kind,
        names,
        output,
        shots=shots,
        metric=metric,
        protocol=protocol,
        common=common,
        mix_selections=mix_selections,
        imported=imported or (),
        form=form,
        store=store,
        study=study,
    )


@app.command(
    epilog="Examples: [bold]dualpt evaluate demo[/] · [bold]dualpt evaluate real-grid data.root=/data[/]",
)
def evaluate(
    name: Annotated[
        str, typer.Argument(help="Name of a sweep or ablation (its MLflow experiment).", autocompletion=recorded_sweeps)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Where things are on this machine: data.root, descriptions.bank, …"
        ),
    ] = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Evaluate finished cells again and add the metrics they lack; trains nothing.

    For metrics that a newer version records. A cell whose recorded accuracies aren't reproduced is left as it is.
    Exit codes: 0 all finished cells have their metrics, 2 usage, 3 some cells could not be evaluated (they are listed).
    """
    from dualpt.search_spaces.overrides import parse_overrides
    from dualpt.sweeps.tools.evaluate import evaluate_sweep

    raise typer.Exit(evaluate_sweep(out, name, parse_overrides(overrides or []), store=store, as_json=as_json))


@app.command(epilog="Example: [bold]dualpt status demo --watch[/]")
def status(
    name: Annotated[
        str | None, typer.Argument(help="Name of a sweep; all of the store by default.", autocompletion=recorded_sweeps)
    ] = None,
    store: Store = DEFAULT_STORE,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh a named sweep until its launch ends.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far sweeps are, while they run or afterwards; for a named one, trials, datasets, failures, time left."""
    from dualpt.sweeps.launching.status import show_status

    show_status(out, name, store=store, as_json=as_json, watch=watch)
