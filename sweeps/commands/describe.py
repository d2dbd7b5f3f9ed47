"""`dualpt describe generate`, `import` and `check`. Heavy imports stay inside the commands, for a quick `--help`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dualpt.sweeps.commands.completing import datasets
from dualpt.sweeps.commands.options import Json, SettingValues, new_app, out

app = new_app()
describe = new_app()
app.add_typer(describe, name="describe", help="Class descriptions: write, import and check banks.")

Dataset = Annotated[str, typer.Argument(help="Dataset name, e.g. mini-pets or EuroSAT.", autocompletion=datasets)]
Root = Annotated[Path | None, typer.Option("--root", help="Data root; the same as data.root=FOLDER.")]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        help="Class names instead of the data root's: a split file, or one name (or '<wnid> <name>') a line; "
        "or a folder of <dataset>.txt.",
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option("--backbone", help="The same as backbone.name=NAME; weights by backbone.pretrained=…."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a bank that is there.")]


@describe.command(
    epilog="Examples: [bold]dualpt describe generate mini-pets --llm MODELS/Qwen3-4B --per-class 5 --out BANK[/] · "
    "[bold]dualpt describe generate EuroSAT --endpoint http://localhost:8000/v1 --model qwen3 data.root=DATA[/]"
)
def generate(
    dataset: Dataset,
    overrides: SettingValues = None,
    llm: Annotated[
        str | None, typer.Option(help="A causal LM: local folder, or hub name (fetched where not cached).")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server, e.g. http://localhost:8000/v1.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="What the endpoint calls the model.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable with the endpoint's key.")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Descriptions per class, K.")] = 5,
    tries: Annotated[int | None, typer.Option(min=1, help="Most questions per class; 4 K by default.")] = None,
    templates: Annotated[
        Path | None, typer.Option(help="Question templates, one per line, with {class}, {photo} and {others}.")
    ] = None,
    class_name: Annotated[
        Literal["any", "required", "forbidden"], typer.Option(help="Whether descriptions name their class.")
    ] = "any",
    to: Annotated[Path, typer.Option("--out", "--output", "-o", help="Folder of banks, or a .json file.")] = Path(
        "descriptions"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of questions and samples.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.01, max=10, help="Of sampling.")] = 0.7,
    top_p: Annotated[float, typer.Option(min=0.01, max=1, help="Probability mass sampled from.")] = 0.95,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in the model's tokens.")] = 96,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Answers at once with --llm; 16 by default.")] = None,
    device: Annotated[str | None, typer.Option(help="Device of --llm, e.g. cuda:0; auto by default.")] = None,
    parallel: Annotated[int | None, typer.Option(min=1, help="Requests at once with --endpoint; 8 by default.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, max=86400, help="Seconds until a request counts as failed; 120 by default."),
    ] = None,
    root: Root = None,
    classes: Classes = None,
    backbone: Backbone = None,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away the answers that are there.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Have a language model describe a dataset's classes.

    Every answer is kept beside the bank: the same command continues after a kill, and a larger --per-class uses what is
    there. Exit codes: 0 every class has K descriptions, 2 usage, 3 some are short.
    """
    from dualpt.sweeps.describing.generating import Sampling, Wanted, WriterOptions, generate_bank
    from dualpt.sweeps.describing.places import setting_of

    code = generate_bank(
        out,
        dataset,
        to,
        setting_of(overrides or [], root, backbone),
        WriterOptions(
            llm=llm,
            batch_size=batch_size,
            device=device,
            endpoint=endpoint,
            model=model,
            api_key_env=api_key_env,
            parallel=parallel,
            timeout=timeout,
        ),
        Sampling(temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens),
        Wanted(per_class=per_class, tries=tries, templates=templates, class_name=class_name, seed=seed),
        classes=classes,
        restart=restart,
        overwrite=overwrite,
        as_json=as_json,
    )
    raise typer.Exit(code)


@describe.command(
    "import",
    epilog="Examples: [bold]dualpt describe import EuroSAT.json --dataset EuroSAT --out BANK data.root=DATA[/] · "
    "[bold]dualpt describe import THEIRS --dataset real --classes NAMES --out BANK --json[/]",
)
def import_(
    source: Annotated[Path, typer.Argument(help="A .json, .jsonl, .csv or .tsv file, or a folder of <dataset>.json.")],
    overrides: SettingValues = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="Dataset name, or `real`; may be given several times.", autocompletion=datasets),
    ] = None,
    to: Annotated[Path, typer.Option("--out", "--output", "-o", help="Folder of banks, or a .json file.")] = Path(
        "descriptions"
    ),
    renames: Annotated[
        Path | None, typer.Option("--map", help="YAML or JSON of {class name or wnid: the bank's name}.")
    ] = None,
    accept_suggestions: Annotated[
        bool,
        typer.Option("--accept-suggestions", help="Take suggested entries of the same words, in any order or number."),
    ] = False,
    draft: Annotated[
        Path | None,
        typer.Option("--draft", help="Write what stays unmatched, with suggestions, as a YAML map to edit for --map."),
    ] = None,
    root: Root = None,
    classes: Classes = None,
    partial: Annotated[bool, typer.Option("--partial", help="Write banks in which classes stay empty.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Import descriptions by other authors, matching their class names with the dataset's.

    Case, blanks, hyphens, punctuation, accents and a leading article do not matter; what is further from a name is
    suggested, not taken. Texts that describe nothing ("1.", "N/A", "I'm sorry…") are dropped and reported. Exit
    codes: 0 every class has sentences, 2 usage, 3 some have none.
    """
    from dualpt.core.errors import UserError
    from dualpt.sweeps.describing.importing import import_banks
    from dualpt.sweeps.describing.places import setting_of

    if not dataset:
        raise UserError("--dataset: name the dataset that is described, or `real` for a folder of all eleven")
    code = import_banks(
        out,
        source,
        dataset,
        to,
        setting_of(overrides or [], root, None),
        classes=classes,
        renames=renames,
        accept_suggestions=accept_suggestions,
        draft=draft,
        partial=partial,
        overwrite=overwrite,
        as_json=as_json,
    )
    raise typer.Exit(code)


@describe.command(epilog="Example: [bold]dualpt describe check BANK mini-pets --backbone mini-clip[/]")
def check(
    bank: Annotated[Path, typer.Argument(help="A folder of banks, or one bank's file.")],
    dataset: Dataset,
    overrides: SettingValues = None,
    backbone: Backbone = None,
    root: Root = None,
    classes: Classes = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept edits by hand: write the hash of the current text.")
    ] = False,
    device: Annotated[str, typer.Option(help="Device of the backbone.")] = "auto",
    as_json: Json = False,
) -> None:
    """Report on a bank: coverage, length, diversity, repetitions, and zero-shot accuracy on the validation images.

    Exit codes: 0 training can use it, 2 usage or a malformed bank, 3 classes without sentences or sentences too long.
    """
    from dualpt.sweeps.describing.checking import check_bank
    from dualpt.sweeps.describing.places import setting_of

    setting = setting_of(overrides or [], root, backbone)
    code = check_bank(out, bank, dataset, setting, classes=classes, accept=accept, device=device, as_json=as_json)
    raise typer.Exit(code)
