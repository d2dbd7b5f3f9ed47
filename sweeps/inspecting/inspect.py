"""`dualpt inspect`: from a recorded cell to its tables, pictures and page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from rich.console import Console
from rich.markup import escape

from dualpt.core.config.activity import uses_local
from dualpt.core.config.setting import Setting
from dualpt.sweeps.comparison.frames import open_ledger
from dualpt.sweeps.console import say_whole, showing_progress
from dualpt.sweeps.inspecting.cell_tables import TextTable, cell_tables, print_tables
from dualpt.sweeps.ledger.cell_names import find_cell, learned_of
from dualpt.sweeps.names import file_name
from dualpt.sweeps.outputs import writable_folder

if TYPE_CHECKING:
    from dualpt.sweeps.inspecting.measurements import Measurements

PAGE = "index.html"


@dataclass(frozen=True)
class Picture:
    title: str
    file: str
    reading: str


def inspect_cell(
    console: Console,
    name: str,
    *,
    store: str,
    out: Path | None,
    images: int,
    overrides: Mapping[str, Any],
    as_json: bool = False,
) -> None:
    """Print what is found inside a cell, and draw it where `out` says.

    Args:
        name: the cell, as `dualpt.sweeps.ledger.cell_names.find_cell` understands it.
        out: folder of pictures and page; None is `outputs/inspect-<the cell's place>`.
        images: of learned prompts, test images of each test set to look at closely.
        overrides: where data and weights lie on this machine.

    Raises:
        UserError: no such cell, one that learned nothing, data that are not here, or a folder that cannot be written.
    """
    ledger = open_ledger(store)
    row = find_cell(ledger, name)
    learned = learned_of(ledger, row, overrides)
    folder = out or Path("outputs") / file_name(f"inspect-{row.trial}-{row.dataset}-{row.shots}shot-seed{row.seed}")
    writable_folder(folder, "--out")
    from dualpt.core.running.frozen_parts import FrozenParts
    from dualpt.sweeps.inspecting.measurements import look_inside

    with showing_progress(console, as_json or not console.is_terminal, "reading") as show:
        measured = look_inside(learned, FrozenParts(), images, show)
    tables = cell_tables(measured)
    cell = learned.cell
    pictures = _draw(measured, cell.setting, folder)
    place = f"{row.trial} on {cell.label}"
    facts = f"Run {row.run_id}, cell key {row.key[:16]}…; {cell.protocol}, {cell.setting.backbone.name}."
    remarks = _remarks(measured)
    _write_page(folder, f"Inside {place}", facts, tables, pictures, remarks)
    if as_json:
        print(_document(row.run_id, row.key, tables, [folder / picture.file for picture in pictures]))
        return
    console.print(f"[bold]{escape(place)}[/]  run {escape(row.run_id)}", highlight=False, soft_wrap=True)
    print_tables(tables, console)
    for remark in remarks:
        say_whole(console, remark, "dim")
    say_whole(console, f"pictures and page: {folder / PAGE}")


def _remarks(measured: "Measurements") -> list[str]:
    """What isn't shown, and why."""
    found = [measured.left_out]
    if measured.prompts is not None and measured.prompts.no_descriptions:
        found.append(f"no descriptions: {measured.prompts.no_descriptions}")
    return [remark for remark in found if remark]


def _draw(measured: "Measurements", setting: Setting, folder: Path) -> list[Picture]:
    from dualpt.sweeps.inspecting.drawing import draw_confusions, draw_descriptions, draw_looks, draw_reliability

    pictures = []
    form = setting.alignment.local_form if uses_local(setting) else None
    for test in measured.tests:
        if test.looks:
            draw_looks(test, form, folder / f"looks-{test.name}.png")
            pictures.append(Picture(f"where each prompt looks, {test.name} set", f"looks-{test.name}.png", _how(form)))
        if test.images:
            draw_confusions(test, folder / f"confusions-{test.name}.png")
            reading = "Images of the most confused pairs, the most confidently wrong first."
            pictures.append(Picture(f"confused classes, {test.name} set", f"confusions-{test.name}.png", reading))
        draw_reliability(test, folder / f"reliability-{test.name}.png")
        reading = "Bars below the diagonal: more confident than right. Grey: how many images are that confident."
        pictures.append(Picture(f"reliability, {test.name} set", f"reliability-{test.name}.png", reading))
    if measured.prompts is not None and measured.prompts.descriptions is not None:
        draw_descriptions(measured.prompts, folder / "descriptions.png")
        reading = (
            "Cosine of every class's mean prompt with every class's mean description: a bright diagonal is wanted."
        )
        pictures.append(Picture("prompts against descriptions", "descriptions.png", reading))
    return pictures


def _how(form: str | None) -> str:
    scale = (
        "Yellow is more; the prompts of one kind of map share a scale within a row, rows do not. A plan of entropy 1 "
        "chooses nothing."
    )
    if form is None:
        return f"This cell has no local term: its prompts were never told where to look. {scale}"
    if form == "ot":
        return f"The transport plan is what the local score weighs patches with. {scale}"
    return f"The local score weighs patches by the {form} weights; the plan shows what transport would choose. {scale}"


def _write_page(
    folder: Path, title: str, facts: str, tables: list[TextTable], pictures: list[Picture], remarks: list[str]
) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        title=title, facts=facts, tables=tables, pictures=pictures, remarks=remarks
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _document(run_id: str, key: str, tables: list[TextTable], files: list[Path]) -> str:
    import json

    rows = {table.title: [dict(zip(table.heads, row, strict=True)) for row in table.rows] for table in tables}
    return json.dumps({"run_id": run_id, "cell_key": key, "tables": rows, "pictures": list(map(str, files))}, indent=1)
