"""`dualpt describe import`: banks by other authors, matched with a dataset's classes."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from dualpt.core.config import Setting
from dualpt.core.data.catalog import expand_datasets
from dualpt.core.data.splits import listing
from dualpt.core.descriptions.bank import bank_path, write_bank
from dualpt.core.descriptions.importing.foreign import read_foreign
from dualpt.core.descriptions.importing.matching import Import, imported_bank, match_entries, read_renames
from dualpt.core.errors import UserError
from dualpt.core.inputs.reading import info_of
from dualpt.sweeps.describing.places import classes_in, written_bank

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
    partial: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Match and write the banks of some datasets, and return the exit code.

    Raises:
        UserError: any fault of a file, before anything is written.
    """
    names = expand_datasets(datasets, setting.data.folder)
    if len(names) > 1 and (out.suffix == ".json" or renames is not None):
        fault = "--out must be a folder" if out.suffix == ".json" else "--map is for a single dataset"
        raise UserError(f"{fault} where {len(names)} datasets are imported")
    found = []
    for name in names:
        info = info_of(setting, name)
        file = _file_in(source, name)
        items = classes_in(setting, info, classes)
        entries = read_foreign(file, (name, info.folder), [item.name for item in items])
        match = match_entries(name, items, entries, read_renames(renames, items, entries) if renames else {})
        found.append((match, file))
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
    _show(console, [match for match, _ in found], banks, as_json)
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


def _show(console: Console, found: Sequence[Import], banks: dict[str, str], as_json: bool) -> None:
    reports = [{**match.report(), "bank": banks.get(match.dataset)} for match in found]
    if as_json:
        print(json.dumps(reports[0] if len(reports) == 1 else reports))
        return
    table = Table(
        Column("dataset", no_wrap=True),
        "classes",
        "matched",
        "unmatched",
        "empty",
        "respelled",
        "unused",
        header_style="bold",
        show_edge=False,
        pad_edge=False,
    )  # without its edge it fits 80 columns
    for match in found:
        parts = (match.classes, match.matched, match.unmatched, match.empty, match.respelled, match.unused)
        table.add_row(escape(match.dataset), *[str(len(part)) for part in parts])
    console.print(table)
    for report in reports:
        _print_details(console, report)


def _print_details(console: Console, report: dict[str, object]) -> None:
    dataset, suggestions = report["dataset"], report["suggestions"]
    assert isinstance(suggestions, dict)
    lines = {
        "respelled": [f"'{name}' from '{other}'" for name, other in _items(report["respelled"])],
        "no entry for": [
            f"'{name}'" + (f" (did you mean '{suggestions[name]}'?)" if name in suggestions else "")
            for name in _names(report["unmatched"])
        ],
        "no sentence for": [f"'{name}'" for name in _names(report["empty"])],
        "unused entries": [f"'{name}'" for name in _names(report["unused"])],
    }
    for what, names in lines.items():
        if names:
            console.print(
                f"  {escape(str(dataset))}: {what} {escape(listing(names, shown=10))}", highlight=False, soft_wrap=True
            )
    if report["bank"] is not None:
        console.print(
            f"  {escape(str(dataset))}: [bold]{escape(str(report['bank']))}[/]", highlight=False, soft_wrap=True
        )
    else:
        console.print(
            f"  {dataset}: nothing written, since classes stay without sentences; map them by --map FILE of "
            "{class name: the bank's name}, or write the rest by --partial",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _names(value: object) -> list[str]:
    assert isinstance(value, list)
    return value


def _items(value: object) -> list[tuple[str, str]]:
    assert isinstance(value, dict)
    return list(value.items())
