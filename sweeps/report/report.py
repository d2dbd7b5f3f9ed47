"""`dualpt report`: read a sweep, aggregate it, write the page and its files, log them to the sweep's run."""

import datetime
import json
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.core.results import COMPARED_METRICS, measure_of
from dualpt.sweeps.comparison.frames import cells_frame, open_ledger
from dualpt.sweeps.comparison.labels import column_title, method_title
from dualpt.sweeps.comparison.published import BACKBONE_PARAMS
from dualpt.sweeps.comparison.selection_basis import SelectionBasis, accuracy_text, selection_basis
from dualpt.sweeps.console import counted, readable_seconds, say_whole
from dualpt.sweeps.ledger.notes import notes_on
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.outputs import check_file, writable_folder
from dualpt.sweeps.planning.data_notes import read_data_notes
from dualpt.sweeps.planning.declared import missing_cells
from dualpt.sweeps.records import CellRow, SweepRow
from dualpt.sweeps.report import facts
from dualpt.sweeps.report.launch_table import launch_table
from dualpt.sweeps.report.sections import oracle_gaps, results_of, search_figures

if TYPE_CHECKING:
    from dualpt.sweeps.comparison.draw import LossCurves

PAGE = "report.html"
ARTIFACT_FOLDER = "report"
"""Where the page and its files stand among the artifacts of the sweep's run."""
SECONDS_DIGITS = 2
KEY_DIGITS = 12
"""Digits of a run id on the page: enough for `dualpt inspect`."""
HERE = Path(__file__).parent
SECTIONS = {
    "results": "Results",
    "candidates": "Search",
    "oracle": "Oracle gap",
    "settings": "Settings",
    "coverage": "Coverage",
    "cost": "Cost",
    "provenance": "Provenance",
    "cells": "All cells",
}
"""The page's parts and their titles."""
SECTIONS_OF_A_SEARCH = frozenset({"candidates", "oracle"})


@dataclass(frozen=True)
class Card:
    """One figure at the head of the page."""

    label: str
    value: str
    more: str = ""
    fault: bool = False


def report_sweep(
    console: Console, name: str, *, store: str, study: str, out: Path | None, log: bool, imported: Sequence[Path] = ()
) -> Path:
    """Write a sweep's report.

    Args:
        study: storage of the search's study, whose importances are shown.
        out: the HTML file; None is `outputs/<name>-report.html`.
        imported: files and folders of other tools, whose results tables and curves show (`imported_for`).
        log: whether the page, its tables and figures become artifacts of the sweep's run.

    Returns:
        The file.

    Raises:
        UserError: no such store or sweep, a sweep without cells, or a file that cannot be written.
    """
    reader = open_reader(store)
    rows = reader.read_cells(name)
    if not rows:
        raise UserError(f"sweep '{name}' has no cell on record yet; run `dualpt sweep` first")
    path = out or Path("outputs") / f"{name}-report.html"
    check_file(path, "--out")
    writable_folder(path.parent, "--out")
    sweep = reader.read_sweep(name)
    with tempfile.TemporaryDirectory(prefix="dualpt-") as temporary:
        folder = Path(temporary)
        page = folder / PAGE
        notes = notes_on(reader, reader.named_experiment(name), sweep, rows)
        page.write_text(render(rows, sweep, reader.loss_curves, study, folder, notes, imported), encoding="utf-8")
        try:
            shutil.copyfile(page, path)
        except OSError as error:
            raise UserError(f"--out: {path} cannot be written ({error.strerror})") from None
        if log:
            open_ledger(store).attach(sweep.run_id, folder, ARTIFACT_FOLDER)
    size = f"{path.stat().st_size / 2**20:.1f} MiB, {counted(len(rows), 'cell')}"
    say_whole(console, f"report: {path} ({size})")
    if log:
        say_whole(console, f"logged with its tables and figures to the sweep's run {sweep.run_id}")
    return path


def render(
    rows: Sequence[CellRow],
    sweep: SweepRow,
    loss_curves: "LossCurves",
    study: str,
    folder: Path,
    notes: Mapping[str, str],
    imported: Sequence[Path] = (),
) -> str:
    """The page as HTML; tables and figures also go to `folder` as files.

    Args:
        loss_curves: reads those of runs (`SweepReader.loss_curves`).
        study: for the importances of searched parameters.
        notes: what users have noted (`dualpt.sweeps.ledger.notes`).
        imported: as in `report_sweep`.
    """
    missing = missing_cells(sweep.declared, rows)
    params = BACKBONE_PARAMS if imported else ()
    frame = cells_frame(
        sweep.name, rows, missing, params, data_notes=sweep.data_notes, search=sweep.search, status=sweep.status
    )
    validation_images = read_data_notes(sweep.data_notes).judged
    basis = None if sweep.best is None else selection_basis(rows, sweep.best, validation_images)
    candidates = facts.candidates(rows, sweep.best, basis, sweep.launched)
    totals = facts.totals(rows, missing)
    figures, why = ([], "") if candidates is None else search_figures(sweep, rows, study, folder)
    gaps, no_gaps = ([], "") if candidates is None else oracle_gaps(sweep.name, frame)
    return _page_template().render(
        name=sweep.name,
        description=sweep.description,
        notes=dict(notes),
        cards=_cards(totals, sweep, basis),
        unfinished=_unfinished(totals, sweep),
        sections=_sections(searched=candidates is not None),
        results=results_of(sweep.name, frame, loss_curves, folder, imported),
        candidates=candidates,
        search_figures=figures,
        no_figures=why,
        oracle_gaps=gaps,
        no_gaps=no_gaps,
        settings=facts.setting_table(rows),
        coverage=facts.coverage([*rows, *missing]),
        failures=facts.failures([*rows, *missing]),
        costs=facts.costs(rows),
        launch=launch_table(sweep.launched),
        provenance=facts.provenance(rows),
        samples=facts.samples(rows),
        cells=_script_json(_cells(rows)),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
        version=version("dualpt"),
        made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _page_template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _sections(*, searched: bool) -> list[tuple[str, str]]:
    """Anchor and title of each part that this page has."""
    return [(anchor, title) for anchor, title in SECTIONS.items() if searched or anchor not in SECTIONS_OF_A_SEARCH]


def _cards(totals: facts.Totals, sweep: SweepRow, basis: SelectionBasis | None) -> list[Card]:
    reused = f"{totals.reused} reused" if totals.reused else ""
    grid = f"shots {', '.join(map(str, totals.shots)) or '–'}; seeds {', '.join(map(str, totals.seeds)) or '–'}"
    cards = [
        Card("cells finished", f"{totals.finished} of {totals.cells + totals.missing}", reused),
        Card("failed", str(totals.failed), fault=totals.failed > 0),
        Card("datasets", str(totals.datasets), grid),
        Card("workers' time", readable_seconds(totals.seconds)),
    ]
    if sweep.best is not None:
        accuracy = "" if sweep.best_accuracy is None else accuracy_text(sweep.best_accuracy, basis)
        cards.append(Card("best candidate", sweep.best, accuracy))
    return cards


def _unfinished(totals: facts.Totals, sweep: SweepRow) -> str:
    """What a reader must know before the numbers: that the sweep is not whole."""
    parts = [f"{counted(totals.failed, 'cell')} failed"] if totals.failed else []
    parts += [f"{totals.missing} were never begun"] if totals.missing else []
    parts += [f"{totals.unfinished} were cut off or are still running"] if totals.unfinished else []
    if parts:
        return f"This sweep is not whole: {', '.join(parts)}. Averages that lack a cell are left out of the tables."
    if sweep.status != "FINISHED":
        return f"The sweep's last launch is {sweep.status.lower()}: more cells may follow."
    return ""


def _cells(rows: Sequence[CellRow]) -> dict[str, Any]:
    """All cells for the page's script: columns, and rows as lists."""
    recorded = [name for name in COMPARED_METRICS if any(name in row.metrics for row in rows)]
    metrics = {name: measure_of(name).digits + 1 for name in recorded}
    fixed: list[dict[str, Any]] = [
        {"title": "method", "choose": True},
        {"title": "kind", "choose": True},
        {"title": "dataset", "choose": True},
        {"title": "protocol"},
        {"title": "shots", "numeric": True, "choose": True},
        {"title": "seed", "numeric": True, "choose": True},
        {"title": "status", "choose": True},
    ]
    columns = [
        *fixed,
        *({"title": metric, "numeric": True, "digits": digits} for metric, digits in metrics.items()),
    ]
    columns += [{"title": "seconds", "numeric": True, "digits": SECONDS_DIGITS}, {"title": "run"}, {"title": "reason"}]
    lines = [
        [
            method_title(row.trial),
            row.kind,
            column_title(row.dataset),
            row.protocol,
            row.shots,
            row.seed,
            row.status.lower(),
            *(_rounded(row.metrics.get(metric), digits) for metric, digits in metrics.items()),
            round(row.seconds, SECONDS_DIGITS),
            row.run_id[:KEY_DIGITS],
            row.failure or "",
        ]
        for row in rows
    ]
    return {"columns": columns, "rows": lines}


def _rounded(value: float | None, digits: int) -> float | None:
    """As it is shown, which keeps the page small: a value that is rounded twice can be off by one in the last digit."""
    return round(value, digits) if value is not None and math.isfinite(value) else None


def _script_json(document: object) -> Markup:
    """JSON inside a script element: no `<` may stand in it, or a name could end the element."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
