"""`dualpt describe generate`: a bank written by a language model, here or behind a server."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import DatasetInfo
from dualpt.core.data.splits import listing
from dualpt.core.descriptions.bank import Bank, Provenance, bank_path, own_version, today, write_bank
from dualpt.core.descriptions.classes import Classes, titles
from dualpt.core.descriptions.writing.answers import AnswerFile, open_answers
from dualpt.core.descriptions.writing.cleaning import Reason
from dualpt.core.descriptions.writing.generation import Generated, generate, generated_bank
from dualpt.core.descriptions.writing.questions import TEMPLATES, ClassNamePolicy, Questionnaire, read_templates
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import info_of
from dualpt.sweeps.console import showing_progress
from dualpt.sweeps.describing.places import classes_in, written_bank

if TYPE_CHECKING:
    from dualpt.core.descriptions.writing.writers import Writer

SHORT = 3
"""Exit code where classes stay short of their descriptions."""
REMEDIES: dict[Reason, str] = {
    "cut off": "a larger --max-new-tokens",
    "duplicate": "a higher --temperature, or more --templates",
    "names the class": "--class-name any",
    "does not name the class": "--class-name any",
}
"""What helps where most answers are rejected for a reason; more tries where none is named."""
TRIES_PER_DESCRIPTION = 4
"""Questions asked for each description wanted, at most, where `--tries` does not say."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How answers are sampled, as provenance and the file of answers record it."""

    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True, kw_only=True)
class WriterOptions:
    """Who answers: `llm` in this process, or `model` behind `endpoint`; None where an option was not given."""

    llm: str | None = None
    batch_size: int | None = None
    device: str | None = None
    endpoint: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    parallel: int | None = None
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for, and how often at most."""

    per_class: int
    """Descriptions of each class, K."""
    tries: int | None
    """Most questions per class; None where not given."""
    templates: Path | None
    """File of question templates; None for those that ship."""
    class_name: ClassNamePolicy
    seed: int

    def read_templates(self) -> tuple[str, ...]:
        return read_templates(self.templates) if self.templates else TEMPLATES

    def limit(self) -> int:
        """Questions about a class at most.

        Raises:
            UserError: fewer than the descriptions wanted.
        """
        tries = TRIES_PER_DESCRIPTION * self.per_class if self.tries is None else self.tries
        if tries < self.per_class:
            raise UserError(
                f"--tries: {tries} questions cannot give {self.per_class} descriptions; give at least --per-class"
            )
        return tries


def generate_bank(
    console: Console,
    dataset: str,
    out: Path,
    setting: Setting,
    options: WriterOptions,
    sampling: Sampling,
    wanted: Wanted,
    *,
    classes: Path | None,
    restart: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Write a dataset's bank, or what is missing of it, and return the exit code.

    Raises:
        UserError: any fault of an option or a file, before a model is loaded; a writer that fails for good.
    """
    info = info_of(setting, dataset)
    check_options(options)
    templates, limit = wanted.read_templates(), wanted.limit()
    items = classes_in(setting, info, classes)
    path = bank_path(out, info.name)
    answers_path = path.with_suffix(".answers.jsonl")
    _check_place(path, answers_path, overwrite)
    from dualpt.core.descriptions.writing.fitting import rules_for

    rules = rules_for(setting.backbone.name, setting.backbone.pretrained, wanted.class_name)
    first = "loading the model" if options.llm else "asking"
    with showing_progress(console, as_json or not console.is_terminal, first) as show:
        writer = make_writer(options, sampling)
        header = _header(info, items, writer, templates, sampling, wanted)
        with open_answers(answers_path, header, restart) as file, _telling_what_is_kept(console, file, answers_path):
            generated = generate(
                items,
                Questionnaire(items, info.template, templates, wanted.class_name, wanted.seed),
                writer,
                file,
                rules=rules,
                per_class=wanted.per_class,
                tries=limit,
                progress=lambda done, total: show(done, total, "descriptions"),
            )
    bank = generated_bank(info.name, items, generated, _provenance(file.header))
    empty = not any(part.sentences for part in bank.classes)
    if not empty and written_bank(path) != bank:
        write_bank(path, bank)
    _show(console, bank, items, generated, wanted.per_class, None if empty else path, as_json)
    return SHORT if generated.short(wanted.per_class) else 0


@contextmanager
def _telling_what_is_kept(console: Console, file: AnswerFile, path: Path) -> Iterator[None]:
    """Say how to continue where the user interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(
            f"{len(file.answers)} answers kept in {path}; run again to continue", markup=False, soft_wrap=True
        )
        raise


def check_options(options: WriterOptions) -> None:
    """Refuse options that would do nothing.

    Raises:
        UserError: neither or both writers, or an option of the other one.
    """
    if (options.llm is None) == (options.endpoint is None):
        raise UserError("give either --llm FOLDER_OR_HUB_NAME, or --endpoint URL with --model NAME")
    of_server = ("model", "api_key_env", "parallel", "timeout")
    others, own = (of_server, "--llm") if options.llm else (("batch_size", "device"), "--endpoint")
    for name in others:
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} means nothing with {own}; leave it out")
    if options.endpoint and not options.model:
        raise UserError("--endpoint needs --model NAME, as the server calls the model")
    if options.api_key_env and not os.environ.get(options.api_key_env):
        raise UserError(f"--api-key-env: the variable {options.api_key_env} is not set; export the key in it")
    if options.api_key_env and not os.environ[options.api_key_env].isprintable():
        raise UserError(
            f"--api-key-env: the value of {options.api_key_env} holds a line break or control character; export it "
            "again (files written on Windows end their lines with a carriage return)"
        )


def make_writer(options: WriterOptions, sampling: Sampling) -> "Writer":
    """Load the model, or prepare to ask the server."""
    if options.endpoint is not None:
        from dualpt.core.descriptions.writing.endpoint import Endpoint

        return Endpoint(
            options.endpoint,
            options.model or "",
            **asdict(sampling),
            parallel=options.parallel or 8,
            timeout=options.timeout or 120.0,
            api_key=os.environ[options.api_key_env] if options.api_key_env else None,
        )
    from dualpt.core.descriptions.writing.causal_lm import CausalLM

    assert options.llm is not None
    return CausalLM(
        options.llm, **asdict(sampling), batch_size=options.batch_size or 16, device=options.device or "auto"
    )


def _check_place(path: Path, answers_path: Path, overwrite: bool) -> None:
    """Refuse to replace a bank that was not written here, or was edited since."""
    bank = written_bank(path)
    ours = bank is not None and bank.provenance.source == "generated" and bank.provenance.accepted is None
    if path.exists() and not overwrite and not (ours and answers_path.is_file()):
        raise UserError(
            f"{path}: exists, and was imported, edited or generated elsewhere; give another --out, or --overwrite"
        )


def _header(
    info: DatasetInfo,
    items: Classes,
    writer: "Writer",
    templates: Sequence[str],
    sampling: Sampling,
    wanted: Wanted,
) -> dict[str, Any]:
    """What determines the answers."""
    return {
        "dataset": info.name,
        "photo": info.template,
        "llm": writer.name,
        "revision": writer.revision,
        "endpoint": writer.endpoint,
        "templates": list(templates),
        "sampling": {**asdict(sampling), "class_name": wanted.class_name},
        "seed": wanted.seed,
        "classes": [item.name for item in items],
        "date": today(),
        "dualpt": own_version(),
    }


def _provenance(header: dict[str, Any]) -> Provenance:
    names = ("llm", "revision", "endpoint", "templates", "sampling", "seed", "date", "dualpt")
    return Provenance(source="generated", **{name: header[name] for name in names})


def _show(
    console: Console,
    bank: Bank,
    items: Classes,
    generated: Generated,
    per_class: int,
    path: Path | None,
    as_json: bool,
) -> None:
    """Print what came out; `path` is None where no bank was written."""
    shown = titles(items)
    report = {
        "dataset": bank.dataset,
        "bank": path and str(path),
        "classes": len(items),
        "per_class": per_class,
        "sentences": sum(len(part.sentences) for part in bank.classes),
        "asked": generated.asked,
        "rejected": dict(generated.rejected.most_common()),
        "short": {shown[label]: len(bank.classes[label].sentences) for label in generated.short(per_class)},
        "text_sha256": bank.text_sha256,
    }
    if as_json:
        print(json.dumps(report))
    else:
        _print(console, report)


def _print(console: Console, report: dict[str, Any]) -> None:
    rejected: dict[Reason, int] = report["rejected"]
    console.print(
        f"{report['bank'] or 'no bank written'}: {report['sentences']} descriptions of {report['classes']} classes, "
        f"{report['asked']} questions asked",
        highlight=False,
        markup=False,
    )
    if rejected:
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
        console.print(f"  rejected: {reasons}", highlight=False, markup=False)
    if report["short"]:
        remedy = REMEDIES.get(next(iter(rejected), "no text"), "more --tries, or other --templates")
        names = [f"'{name}' {count}" for name, count in report["short"].items()]
        console.print(
            f"  short of {report['per_class']}: {listing(names, shown=10)}; try {remedy}",
            style="yellow",
            highlight=False,
            markup=False,
        )
