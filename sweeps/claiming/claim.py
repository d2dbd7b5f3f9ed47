"""What one method of a finished sweep is claimed to be worth beside another, and everything that this stands on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from dualpt.core.data.protocols import TRANSFER_PROTOCOLS
from dualpt.core.errors import UserError
from dualpt.core.selection_rules import IN_WORDS
from dualpt.sweeps.claiming.commands import notes
from dualpt.sweeps.claiming.evidence import (
    NOT_RECORDED,
    Searched,
    Side,
    cells_of,
    check_complete,
    computed_with,
    draws_of,
    searched_of,
    side_of,
)
from dualpt.sweeps.comparison.claims import claims_of, n_text
from dualpt.sweeps.comparison.compare import check_metric, own_metric
from dualpt.sweeps.comparison.frames import cells_frame, finished_shots
from dualpt.sweeps.comparison.labels import find_method, is_selected, method_title
from dualpt.sweeps.comparison.searched.correction import Selected
from dualpt.sweeps.comparison.selection import Selection, select
from dualpt.sweeps.comparison.statistics import Claim, PairedResult, claim
from dualpt.sweeps.comparison.tables.table import shots_text
from dualpt.sweeps.console import counted, say_whole
from dualpt.sweeps.ledger.launch_record import launch_of
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.outputs import STDOUT, check_file, write_document
from dualpt.sweeps.planning.data_notes import read_data_notes
from dualpt.sweeps.planning.declared import missing_cells
from dualpt.sweeps.records import CellRow, SweepRow

BASELINE = "coop"
"""What a claim is about where nothing else is named."""


@dataclass(frozen=True)
class ClaimPage:
    """All of a claim, for programs and for the page."""

    sweep: str
    sentence: str
    verdict: Claim
    """`yes` where interval and corrected test agree, `perhaps` where one does; `no` is no claim."""
    reservations: tuple[str, ...]
    metric: str
    protocol: str
    selection: str
    shots: int
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    n: str
    """Datasets and draws that the claim rests on, in words."""
    method: Side
    baseline: Side
    result: PairedResult
    searched: Searched | None
    """None where the method was declared, not selected."""
    draws: tuple[Mapping[str, Any], ...]
    """`dataset`, `shots`, `seed` and the SHA-256 `fingerprint` of the images drawn."""
    computed_with: Mapping[str, Mapping[str, int]]
    """What (software, device, numerics, weights) -> value -> finished cells."""
    launch: Mapping[str, str]
    """How the sweep was launched last, as far as that is on record."""
    commands: tuple[str, ...]
    command_notes: tuple[str, ...]
    made_by: str

    def document(self) -> str:
        """JSON, values unrounded."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)


def make_claim(
    console: Console,
    name: str,
    *,
    method: str | None,
    baseline: str | None,
    shots: int | None,
    metric: str | None,
    protocol: str | None,
    output: Path | None,
    as_json: bool,
    store: str,
) -> None:
    """Print the page as Markdown (or JSON), or write both beside each other.

    Raises:
        UserError: any fault of the words; a sweep that is unfinished; cells of either method that are missing.
    """
    from dualpt.sweeps.claiming.page import to_markdown

    check_metric(metric)
    printed = output is None or output == STDOUT
    files = [] if output is None or printed else [output.with_suffix(suffix) for suffix in (".md", ".json")]
    for file in files:
        check_file(file, "--output")
    reader = open_reader(store)
    rows, sweep = reader.read_cells(name), reader.read_sweep(name)
    page = claim_of(rows, sweep, method=method, baseline=baseline, shots=shots, metric=metric, protocol=protocol)
    texts = [to_markdown(page), page.document()]
    for file, text in zip(files, texts, strict=False):
        write_document(text, file, "--output")
        say_whole(console, f"claim: {file}")
    if printed:
        print(texts[as_json])


def claim_of(
    rows: Sequence[CellRow],
    sweep: SweepRow,
    *,
    method: str | None = None,
    baseline: str | None = None,
    shots: int | None = None,
    metric: str | None = None,
    protocol: str | None = None,
) -> ClaimPage:
    """What the recorded cells of a sweep say of one method beside another.

    Args:
        rows: all shown cells.
        method: by name or title; None is the setting that a search selected.
        baseline: None is CoOp.
        shots: None is the largest number with results.

    Raises:
        UserError: an unfinished sweep, an unknown method, a method with missing cells, draws that differ.
    """
    selection = _selection_of(sweep, rows, protocol)
    if metric is None and selection.protocol in TRANSFER_PROTOCOLS:
        raise UserError(f"--metric: {selection.protocol} has several; name one, such as target/mean/accuracy")
    shown = metric or own_metric(selection.protocol)
    ours, theirs = _sides(selection, method, baseline)
    at = shots if shots is not None else max(finished_shots(selection.cells, shown) or selection.shots, default=0)
    check_complete(selection, (ours, theirs), at, shown)
    claims = claims_of(selection.cells, selection.grid, theirs, shots=at, metric=shown, searches=selection.searches)
    result = claims.paired[ours]
    cells = {side: cells_of(rows, side, selection, at) for side in (ours, theirs)}
    method_side, baseline_side = (side_of(side, selection, own, at, shown) for side, own in cells.items())
    pair = [*cells[ours], *cells[theirs]]
    selected = Selected.of(ours, selection.cells, selection.searches)
    alone = next(word for word in claims.words() if word.startswith(method_title(ours)))
    about = f"{shown} at {shots_text(at)}, {selection.protocol}, {counted(len(selection.datasets), 'dataset')}"
    return ClaimPage(
        sweep=sweep.name,
        sentence=f"{alone} ({about})",
        verdict=claim(result.interval, result.holm),
        reservations=(*_limits_of(claims.words(), claims.paired), *selection.remarks),
        metric=shown,
        protocol=selection.protocol,
        selection="; ".join(IN_WORDS.get(rule, rule) for rule in selection.rules) or IN_WORDS["none"],
        shots=at,
        datasets=selection.datasets,
        seeds=selection.seeds,
        n=n_text(claims.n_datasets, claims.n_seeds, claims.one_draw),
        method=method_side,
        baseline=baseline_side,
        result=result,
        searched=searched_of(selected, rows, read_data_notes(sweep.data_notes).judged),
        draws=tuple(draws_of(pair)),
        computed_with=computed_with(pair),
        launch=launch_facts(sweep),
        commands=(
            method_side.command,
            baseline_side.command,
            f"dualpt compare {sweep.name} --baseline {theirs} --shots {at} --protocol {selection.protocol}",
        ),
        command_notes=tuple(notes(pair)),
        made_by=f"dualpt {version('dualpt')}",
    )


def launch_facts(sweep: SweepRow) -> dict[str, str]:
    """Command, commit and software of the latest launch: what is on record of it, by name."""
    if (record := launch_of(sweep)) is None:  # a sweep of an earlier version
        return {"commit": NOT_RECORDED, "description": sweep.description}
    return {**record.facts(), "description": sweep.description}


def _selection_of(sweep: SweepRow, rows: Sequence[CellRow], protocol: str | None) -> Selection:
    """The cells of a sweep that has ended.

    Raises:
        UserError: it hasn't, or it has several protocols and none is named.
    """
    if sweep.status in ("RUNNING", "KILLED"):
        raise UserError(
            f"sweep '{sweep.name}' is unfinished ({sweep.status.lower()}): finish it first (`dualpt status`)"
        )
    missing = missing_cells(sweep.declared, rows)
    frame = cells_frame(sweep.name, rows, missing, (), sweep.data_notes, sweep.search, sweep.status)
    return select({sweep.name: frame}, protocol=protocol)


def _sides(selection: Selection, method: str | None, baseline: str | None) -> tuple[str, str]:
    names = [str(name) for name in dict.fromkeys(selection.cells["trial"])]
    there_are = f"(there are: {', '.join(map(method_title, names))})"
    selected = [name for name in names if is_selected(name)]
    if method is None and len(selected) != 1:
        raise UserError(f"--method: name whose claim it is {there_are}")
    if baseline is None and BASELINE not in names:
        raise UserError(f"--baseline: the sweep has no {method_title(BASELINE)}; name another {there_are}")
    ours = selected[0] if method is None else find_method(method, names, "--method")
    theirs = BASELINE if baseline is None else find_method(baseline, names, "--baseline")
    if ours == theirs:
        raise UserError(f"--baseline: {method_title(ours)} would be compared with itself; name another {there_are}")
    return ours, theirs


def _limits_of(words: Sequence[str], methods: Mapping[str, PairedResult]) -> list[str]:
    """What a reader must know besides the verdicts on the methods."""
    titles = tuple(f"{method_title(method)}{after}" for method in methods for after in (" is ", ": ", " cannot "))
    return [word for word in words if not word.startswith(titles) or "is left out" in word]
