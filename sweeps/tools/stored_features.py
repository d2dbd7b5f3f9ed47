"""`dualpt features ls`, `verify` and `gc`: the store of image features, listed, checked and cleared of leftovers."""

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from dualpt.core.features.upkeep import collect_garbage, list_store, verify_store
from dualpt.sweeps.console import counted, showing_progress
from dualpt.sweeps.tools.feature_imports import ListedImport, imports_root, listed_imports
from dualpt.sweeps.tools.features import encoder_line, megabytes, numbers_table, print_table, store_folder

DAMAGE_FOUND = 3
"""Exit code of `verify`."""


def show_store(console: Console, *, as_json: bool) -> None:
    """List what is stored, and what was imported."""
    imports, unread = listed_imports()
    listing = list_store(store_folder())
    rows: list[dict[str, Any]] = [
        {
            "folder": str(folder.path),
            **{key: folder.about.get(key) for key in ("backbone", "precision", "local", "dataset", "view", "weights")},
            "images": usage.rows,
            "bytes": usage.bytes,
            "idle_bytes": usage.idle_bytes,
            "used": usage.used,
        }
        for folder, usage in listing.folders
    ]
    if as_json:
        unreadable = [str(path) for path in listing.unreadable]
        document = {"folder": str(store_folder()), "shelves": rows, "unreadable": unreadable}
        print(
            json.dumps(
                {**document, "imports": list(map(asdict, imports)), "unreadable_imports": list(map(str, unread))}
            )
        )
        return
    _print_folders(console, rows)
    _print_paths(console, "not understood, rewritten by the next use", listing.unreadable)
    _print_imports(console, imports)
    _print_paths(console, "not understood, import again", unread)


def _print_folders(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """A table per backbone, and what all of them take."""
    for title, group in itertools.groupby(sorted(rows, key=_row_title), key=_row_title):
        table = numbers_table("dataset", "view", "images", "size", "last used")
        for row in group:
            used = time.strftime("%Y-%m-%d", time.localtime(row["used"]))
            counts = (str(row["images"]), megabytes(row["bytes"]))
            table.add_row(str(row["dataset"]), str(row["view"]), *counts, used)
        print_table(console, title, table)
    console.print(
        f"  {len(rows)} folders, {megabytes(sum(row['bytes'] for row in rows))} in {store_folder()}",
        markup=False,
        soft_wrap=True,
    )


def _print_imports(console: Console, imports: Sequence[ListedImport]) -> None:
    """A table per backbone, and what all of them take; nothing where nothing was imported."""
    for backbone, of_backbone in itertools.groupby(imports, key=lambda one: one.backbone):
        table = numbers_table("dataset", "images", "draws", "text", "weights", "crops", "norms", "size")
        for one in of_backbone:
            beside = (
                "yes" if one.text else "no",
                one.weights[:12] or "–",
                str(one.crops or "–"),
                "yes" if one.norms else "no",
            )
            table.add_row(one.dataset, str(one.rows), str(one.draws or "–"), *beside, megabytes(one.bytes))
        print_table(console, f"imported, {backbone}: {imports_root() / backbone}", table)
    if imports:
        line = (
            f"  {counted(len(imports), 'import')}, {megabytes(sum(one.bytes for one in imports))} in {imports_root()}"
        )
        console.print(line, markup=False, soft_wrap=True)


def _row_title(row: dict[str, Any]) -> str:
    return f"{encoder_line(row['backbone'], row['precision'], row['local'])}, weights {str(row['weights'])[:12]}"


def verify(console: Console, *, as_json: bool) -> int:
    """Read every stored byte; returns the exit code."""
    with showing_progress(console, as_json or not console.is_terminal, "verifying") as show:
        result = verify_store(store_folder(), show)
    if as_json:
        damaged = {str(folder): list(files) for folder, files in result.damaged.items()}
        unreadable = [str(path) for path in result.unreadable]
        counts = {"shelves": result.folders, "rows": result.rows, "former_rows": result.former_rows}
        print(json.dumps({**counts, "damaged": damaged, "unreadable": unreadable}))
        return DAMAGE_FOUND if damaged else 0
    for folder, files in result.damaged.items():
        for name, reason in files.items():
            console.print("[yellow]damaged[/]", escape(f"{folder / name}: {reason}"), highlight=False, soft_wrap=True)
    _print_paths(console, "not understood, rewritten by the next use", result.unreadable)
    remedy = "; what was damaged is deleted, and encoded again when it is needed" if result.damaged else ""
    console.print(
        f"  {result.rows} images in {counted(result.folders, 'folder')} are sound{remedy}",
        highlight=False,
        markup=False,
    )
    if result.former_rows:
        console.print(
            f"  {result.former_rows} of these are in files of an earlier version: features match their checksums, "
            "but nothing would show whether images had changed places in a record",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return DAMAGE_FOUND if result.damaged else 0


def collect(
    console: Console,
    *,
    unused_days: float | None,
    backbone: str | None,
    dataset: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove what cannot be used or what the user names."""
    result = collect_garbage(
        store_folder(), unused_days=unused_days, backbone=backbone, dataset=dataset, dry_run=dry_run
    )
    if as_json:
        removed = {str(path): reason for path, reason in result.removed.items()}
        left = {"in_use": [*map(str, result.in_use)], "foreign": [*map(str, result.foreign)]}
        print(json.dumps({"removed": removed, "bytes": result.bytes, "dry_run": dry_run, **left}))
        return
    for path, reason in result.removed.items():
        console.print(f"  {escape(f'{path.relative_to(store_folder())}: {reason}')}", highlight=False, soft_wrap=True)
    _print_paths(console, "left alone, in use", result.in_use)
    _print_paths(console, "left alone, not the store's", result.foreign)
    verb = "would be removed" if dry_run else "removed"
    console.print(f"  {len(result.removed)} {verb}, {megabytes(result.bytes)}", highlight=False, markup=False)


def _print_paths(console: Console, what: str, paths: Iterable[Path]) -> None:
    for path in paths:
        console.print(f"[yellow]{escape(what)}:[/] {escape(str(path))}", highlight=False, soft_wrap=True)
