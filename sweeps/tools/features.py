"""`dualpt features`: what stored features a sweep or a dataset needs, computing them, and the store's upkeep."""

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from dualpt.core.cell import Cell
from dualpt.core.config.sections import Value
from dualpt.core.config.setting import Setting
from dualpt.core.files.locations import cache_root, leaving_no_trace
from dualpt.search_spaces.parameters import IntParameter, Parameter
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.console import counted, readable_seconds, say_whole, showing_progress
from dualpt.sweeps.planning.plan import grid_cells, plan_sweep
from dualpt.sweeps.word_table import WordTable

if TYPE_CHECKING:
    from dualpt.core.features.needs import FeatureEstimate

SEARCHED_KEYS = ("backbone.", "data.views", "alignment.local_", "inference.local_weight")
"""Beginnings of the keys that decide which features a setting reads."""

DAMAGE_FOUND = 3
"""Exit code of `verify`."""


@dataclass(frozen=True)
class FeatureCosts:
    """What missing features cost."""

    images: int
    """To be encoded, views counted one by one."""
    bytes: int
    seconds: float | None
    """On this machine; None where its pace is not known."""


def store_folder() -> Path:
    return cache_root() / "features"


def sweep_cells(sweep: LoadedSweep) -> list[Cell]:
    """The cells of baselines and candidates, with every value of a searched key that decides which features are read.

    Of a range, both ends stand for all: views 2 are among views 4, and any positive weight reads the same features.
    Only a single view is another one, the plain crop.
    """
    cells = [cell for baseline in plan_sweep(sweep).baselines for cell in baseline.cells]
    if sweep.file.search is None:
        return cells
    deciding = [parameter for parameter in sweep.space if _decides(parameter, sweep.reference)]
    for ends in itertools.product(*map(_deciding_values, deciding)):
        values: dict[str, Value] = {}
        for parameter, end in zip(deciding, ends, strict=True):
            values |= {key: allowed[0] for key, allowed in parameter.when.items()} | {parameter.key: end}
        cells += grid_cells(sweep, sweep.reference.with_values(values, source="search.space"))
    return cells


def _decides(parameter: Parameter, reference: Setting) -> bool:
    """Whether a parameter decides which features a setting reads."""
    if parameter.key not in reference.own_keys:
        return parameter.key.startswith(SEARCHED_KEYS)
    ends = (reference.with_values({parameter.key: end}, source="search.space") for end in parameter.ends)
    return len({str(setting.reads) for setting in ends}) > 1


def _deciding_values(parameter: Parameter) -> tuple[Value, ...]:
    if parameter.key == "data.views" and isinstance(parameter, IntParameter) and parameter.low < 1 < parameter.high:
        return (parameter.low, 1, parameter.high)
    return parameter.ends


def feature_costs(sweep: LoadedSweep) -> FeatureCosts:
    """What a launch would have to encode, by the pace of earlier builds. Reads no weights.

    Imported features are in place of images, so a sweep of nothing else has nothing to encode, and loads no towers.
    """
    cells = [cell for cell in sweep_cells(sweep) if cell.setting.data.features is None]
    if not cells:
        return costs(())
    import torch

    from dualpt.core.clip.backbone import backbone_facts
    from dualpt.core.features.needs import FeatureNeed, estimate, needs_of
    from dualpt.core.features.store import Encoder, FeatureStore, encoder_title

    store = FeatureStore(store_folder())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    known_facts = cache(backbone_facts)  # it builds the architecture, and a sweep asks once for every dataset and draw

    def facts_of(setting: Setting) -> Encoder:
        section = setting.backbone
        return known_facts(section.name, section.pretrained, section.precision)

    def pace_of(need: FeatureNeed, _: object) -> float | None:
        return store.pace.known(encoder_title(facts_of(need.setting), need.local, device))

    return costs(estimate(store, needs_of(cells), facts_of, pace_of))


def costs(estimates: "Iterable[FeatureEstimate]") -> FeatureCosts:
    """The sum of estimates."""
    every = list(estimates)
    seconds = [one.seconds for one in every]
    known = [one for one in seconds if one is not None]
    return FeatureCosts(
        sum(one.missing for one in every),
        sum(one.bytes for one in every),
        sum(known) if len(known) == len(seconds) else None,
    )


def build(console: Console, cells: Sequence[Cell], *, dry_run: bool, as_json: bool) -> None:
    """Show what is missing and what it costs, then compute it; a dry run writes nothing.

    Raises:
        UserError: a fault of the data or the backbone, or too little room, before anything is encoded.
    """
    with leaving_no_trace() if dry_run else nullcontext():
        _build(console, cells, dry_run=dry_run, as_json=as_json)


def _build(console: Console, cells: Sequence[Cell], *, dry_run: bool, as_json: bool) -> None:
    from dualpt.core.running.frozen_parts import FrozenParts

    parts = FrozenParts()
    quiet = as_json or not console.is_terminal
    with showing_progress(console, quiet, "drawing") as show:
        parts.prepare_data(cells, show)
        show(0, None, "estimating")
        estimates = parts.estimate_features(cells)
        total = costs(estimates)
        if not as_json:
            _print_needs(console, estimates)
            say_whole(console, f"{describe(total)}; kept in {store_folder()}")
        start = time.perf_counter()
        images, size = (0, 0) if dry_run else parts.compute(estimates, show)
        seconds = 0.0 if dry_run else time.perf_counter() - start
    if as_json:
        rows = [_estimate_row(one) for one in estimates]
        done = {"encoded": images, "seconds": seconds}
        print(json.dumps({"folder": str(store_folder()), "estimated": asdict(total), "needs": rows, **done}))
    elif not dry_run and total.images:
        others = total.images - images
        by_others = f"; another process encoded {others} meanwhile" if others else ""
        console.print(
            f"  {counted(images, 'image')} encoded in {readable_seconds(seconds)}: {images / seconds:.1f} images/s, "
            f"{size / 1e6 / seconds:.1f} MB/s{by_others}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def describe(total: FeatureCosts) -> str:
    """One line for a plan."""
    if not total.images:
        return "all features are stored"
    left = "unknown until the first build" if total.seconds is None else f"about {readable_seconds(total.seconds)}"
    return f"{counted(total.images, 'image')} to encode, {megabytes(total.bytes)}, {left}"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _estimate_row(one: "FeatureEstimate") -> dict[str, Any]:
    section = one.need.setting.backbone
    return {
        "backbone": section.name,
        "precision": section.precision,
        "local": one.need.local,
        "dataset": one.need.dataset.name,
        "view": one.need.view and one.need.view.number,
        "min_crop_area": one.need.view and one.need.view.min_area,
        "images": len(one.need.items),
        "missing": one.missing,
        "bytes": one.bytes,
        "seconds": one.seconds,
    }


def _print_needs(console: Console, estimates: "Sequence[FeatureEstimate]") -> None:
    """A table per backbone with a row per dataset; the views of its training images are counted together."""
    groups: dict[str, dict[str, list[FeatureEstimate]]] = {}
    for one in estimates:
        section = one.need.setting.backbone
        title = _encoder_line(section.name, section.precision, one.need.local)
        groups.setdefault(title, {}).setdefault(one.need.dataset.name, []).append(one)
    for title, by_dataset in groups.items():
        table = _table("dataset", "views", "images", "missing", "size", "time")
        for dataset, group in by_dataset.items():
            total = costs(group)
            views = sum(one.need.view is not None for one in group)
            images = sum(len(one.need.items) for one in group)
            seconds = "?" if total.seconds is None else readable_seconds(total.seconds)
            counts = (str(views or "–"), str(images), str(total.images))
            table.add_row(dataset, *counts, megabytes(total.bytes), seconds)
        _print_table(console, title, table)


def _encoder_line(backbone: object, precision: object, local: object) -> str:
    return f"{backbone}, {precision}, local features: {local or 'none'}"


def _table(first: str, *others: str) -> WordTable:
    table = WordTable(first)
    for name in others:
        table.add_column(name, right=True)
    return table


def _print_table(console: Console, title: str, table: WordTable) -> None:
    console.print(title, style="bold", highlight=False, markup=False, soft_wrap=True)
    table.show(console, markup=False)


def show_store(console: Console, *, as_json: bool) -> None:
    """List what is stored, and what was imported."""
    from dualpt.core.features.upkeep import list_store
    from dualpt.sweeps.tools.feature_imports import imports_root, listed_imports

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
    for title, group in itertools.groupby(sorted(rows, key=_row_title), key=_row_title):
        table = _table("dataset", "view", "images", "size", "last used")
        for row in group:
            used = time.strftime("%Y-%m-%d", time.localtime(row["used"]))
            counts = (str(row["images"]), megabytes(row["bytes"]))
            table.add_row(str(row["dataset"]), str(row["view"]), *counts, used)
        _print_table(console, title, table)
    console.print(
        f"  {len(rows)} folders, {megabytes(sum(row['bytes'] for row in rows))} in {store_folder()}",
        markup=False,
        soft_wrap=True,
    )
    _print_paths(console, "not understood, rewritten by the next use", listing.unreadable)
    for backbone, of_backbone in itertools.groupby(imports, key=lambda one: one.backbone):
        table = _table("dataset", "images", "draws", "text", "crops", "norms", "size")
        for one in of_backbone:
            beside = ("yes" if one.text else "no", str(one.crops or "–"), "yes" if one.norms else "no")
            table.add_row(one.dataset, str(one.rows), str(one.draws or "–"), *beside, megabytes(one.bytes))
        _print_table(console, f"imported, {backbone}: {imports_root() / backbone}", table)
    if imports:
        line = (
            f"  {counted(len(imports), 'import')}, {megabytes(sum(one.bytes for one in imports))} in {imports_root()}"
        )
        console.print(line, markup=False, soft_wrap=True)
    _print_paths(console, "not understood, import again", unread)


def _row_title(row: dict[str, Any]) -> str:
    return f"{_encoder_line(row['backbone'], row['precision'], row['local'])}, weights {str(row['weights'])[:12]}"


def verify(console: Console, *, as_json: bool) -> int:
    """Read every stored byte; returns the exit code."""
    from dualpt.core.features.upkeep import verify_store

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
    from dualpt.core.features.upkeep import collect_garbage

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
