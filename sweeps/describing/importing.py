"""`dualpt describe import`: banks by other authors, matched with a dataset's classes."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dualpt.core.config.setting import Setting
from dualpt.core.data.catalog import expand_datasets
from dualpt.core.data.splits import listing
from dualpt.core.descriptions.bank import bank_path, write_bank
from dualpt.core.descriptions.classes import titles
from dualpt.core.descriptions.importing.foreign import read_foreign
from dualpt.core.descriptions.importing.matching import Import, imported_bank, match_entries, read_renames
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import info_of
from dualpt.sweeps.describing.map_draft import check_draft, write_draft
from dualpt.sweeps.describing.places import classes_in, written_bank
from dualpt.sweeps.word_table import WordTable

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
INCOMPLETE = 3
"""Exit code where classes stay without sentences."""


def import_banks(
    console: Console,
    source: Path,
    datasets: Sequence[str],
    out: Path,
    setting: Setting,
    *,
    classes: Path | None,
    renames: Path | None,
    accept_suggestions: bool,
    draft: Path | None,
    partial: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Match and write the banks of some datasets, and return the exit code.

    Args:
        renames: a map of names (`--map`), which goes before every rule.
        accept_suggestions: take suggested entries of the same words.
        draft: where to write a map of what stays unmatched, to be edited and given back as `renames`.

    Raises:
        UserError: any fault of a file, before anything is written.
    """
    names = expand_datasets(datasets, setting.data.folder)
    of_one = {"--map is": renames is not None, "--draft is": draft is not None}
    faults = [f"{option} for a single dataset" for option, given in of_one.items() if given]
    faults += ["--out must be a folder"] if out.suffix == ".json" else []
    if len(names) > 1 and faults:
        raise UserError(f"{faults[0]} where {len(names)} datasets are imported")
    if draft is not None:
        check_draft(draft, overwrite)
    found = []
    for name in names:
        info = info_of(setting, name)
        file = _file_in(source, name)
        items = classes_in(setting, info, classes)
        entries = read_foreign(file, (name, info.folder), [item.name for item in items])
        match = match_entries(name, items, entries, read_renames(renames, items, entries) if renames else {})
        found.append((match.with_suggestions() if accept_suggestions else match, file))
    wanted = [(match, file, bank_path(out, match.dataset)) for match, file in found if match.complete or partial]
    written = {}
    for match, file, path in wanted:
        bank = imported_bank(match, file)
        known = written_bank(path)
        if path.exists() and not overwrite and (known is None or known.text_sha256 != bank.text_sha256):
            raise UserError(f"{path}: exists with other content; give another --out, or --overwrite")
        written[path] = bank
    for path, bank in written.items():
        if written_bank(path) != bank:
            write_bank(path, bank)
    banks = {match.dataset: str(path) for match, _, path in wanted}
    if draft is not None and not (match := found[0][0]).complete:
        write_draft(draft, match)
    _show(console, [match for match, _ in found], banks, draft, as_json)
    return 0 if all(match.complete for match, _ in found) else INCOMPLETE


def _file_in(source: Path, dataset: str) -> Path:
    """The file of a dataset: the source itself, or the one file in a folder that is called like the dataset."""
    if not source.is_dir():
        return source
    files = [file for suffix in SUFFIXES if (file := source / f"{dataset}{suffix}").is_file()]
    if not files:
        raise UserError(f"{source}: holds no {dataset}.json (or .jsonl, .csv, .tsv); rename the file, or name it")
    if len(files) > 1:
        raise UserError(f"{source}: holds {files[0].name} and {files[1].name}; name the file")
    return files[0]


def _show(
    console: Console, found: Sequence[Import], banks: Mapping[str, str], draft: Path | None, as_json: bool
) -> None:
    reports = [{**match.report(), "bank": banks.get(match.dataset)} for match in found]
    if as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else reports))
        return
    heads = ("dataset", "classes", "matched", "unmatched", "empty", "respelled", "unused")
    table = WordTable(*heads, look=None)  # without lines it fits 80 columns
    for match in found:
        parts = (match.classes, match.matched, match.unmatched, match.empty, match.respelled, match.unused)
        table.add_row(escape(match.dataset), *[str(len(part)) for part in parts])
    table.show(console)
    for match, report in zip(found, reports, strict=True):
        _print_details(console, match, report, draft)


def _print_details(console: Console, match: Import, report: Mapping[str, object], draft: Path | None) -> None:
    shown, suggested = titles(match.classes), match.suggestions()
    hints = {
        label: f" ({'did you mean' if found.likeness != 'spelling' else 'near:'} '{found.name}'?)"
        for label, found in suggested.items()
    }
    dropped = [text for texts in match.dropped.values() for text in texts]
    lines = {
        "respelled": [f"'{shown[label]}' from '{name}'" for label, name in match.respelled.items()],
        "no entry for": [f"'{shown[label]}'{hints.get(label, '')}" for label in match.unmatched],
        "no sentence for": [f"'{shown[label]}'" for label in match.empty],
        "unused entries": [f"'{name}'" for name in match.unused],
        f"dropped {len(dropped)} texts that describe nothing:": [
            f"{count} x '{text:.60}'" if count > 1 else f"'{text:.60}'"
            for text, count in Counter(dropped).most_common()
        ],
    }
    for what, names in lines.items():
        if names:
            line = f"  {escape(match.dataset)}: {what} {escape(listing(names, shown=10))}"
            console.print(line, highlight=False, soft_wrap=True)
    if report["bank"] is not None:
        console.print(
            f"  {escape(match.dataset)}: [bold]{escape(str(report['bank']))}[/]", highlight=False, soft_wrap=True
        )
    else:
        console.print(_remedy(match, draft), style="yellow", highlight=False, markup=False, soft_wrap=True)


def _remedy(match: Import, draft: Path | None) -> str:
    """What to do about classes that stay without sentences."""
    start = f"  {match.dataset}: nothing written, since classes stay without sentences; "
    if draft is not None:
        return f"{start}edit {draft} and give it back with --map {draft}"
    safe = sum(found.likeness != "spelling" for found in match.suggestions().values())
    accept = f"--accept-suggestions takes the {safe} suggestions of the same words; " if safe else ""
    return f"{start}{accept}--draft FILE writes a map of names to edit for --map; --partial writes the rest"
