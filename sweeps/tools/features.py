"""`dualpt features build`: which stored features a sweep or a dataset needs, what they cost, and computing them."""

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
        title = encoder_line(section.name, section.precision, one.need.local)
        groups.setdefault(title, {}).setdefault(one.need.dataset.name, []).append(one)
    for title, by_dataset in groups.items():
        table = numbers_table("dataset", "views", "images", "missing", "size", "time")
        for dataset, group in by_dataset.items():
            total = costs(group)
            views = sum(one.need.view is not None for one in group)
            images = sum(len(one.need.items) for one in group)
            seconds = "?" if total.seconds is None else readable_seconds(total.seconds)
            counts = (str(views or "–"), str(images), str(total.images))
            table.add_row(dataset, *counts, megabytes(total.bytes), seconds)
        print_table(console, title, table)


def encoder_line(backbone: object, precision: object, local: object) -> str:
    """What encodes, as the title of a table."""
    return f"{backbone}, {precision}, local features: {local or 'none'}"


def numbers_table(first: str, *others: str) -> WordTable:
    """A table of a word and numbers."""
    table = WordTable(first)
    for name in others:
        table.add_column(name, right=True)
    return table


def print_table(console: Console, title: str, table: WordTable) -> None:
    """Print a table below its title, which is never broken."""
    console.print(title, style="bold", highlight=False, markup=False, soft_wrap=True)
    table.show(console, markup=False)
