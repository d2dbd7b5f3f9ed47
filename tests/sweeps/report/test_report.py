"""The report: what is aggregated is right, and the page works in a real browser, whatever is recorded."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.sweeps.comparison.frames import cells_frame
from dualpt.sweeps.comparison.labels import method_title
from dualpt.sweeps.comparison.searched.oracle import MEANING
from dualpt.sweeps.ledger.launch_record import LaunchRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.records import CellRow
from dualpt.sweeps.report import facts
from dualpt.sweeps.report.launch_table import launch_table
from dualpt.sweeps.report.report import render, report_sweep
from dualpt.sweeps.report.sections import oracle_gaps
from tests.sweeps.report.synthetic import SWEEP, cells, loss_curves
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import Declare

N_CELLS = 5000
NO_STUDY = "sqlite:///nowhere/optuna.db"


def texts(table: facts.Table) -> list[list[str]]:
    return [[text.shown for text in row] for row in table.rows]


@pytest.fixture(scope="module")
def rows() -> list[CellRow]:
    return cells(1200)


def test_coverage_counts_what_is_missing(rows: list[CellRow]) -> None:
    table = facts.coverage(rows)
    missing = sum(not row.finished for row in rows if row.kind != "search")
    assert missing > 0
    assert f"without a finished result: {missing} cells of the grid" in table.notes[0]
    shares = {row[0].shown: row[1] for row in table.rows}
    assert shares["PLOT"].shown.endswith("/99")
    assert shares["zero-shot CLIP"].shown.endswith("/11")
    assert {text.mark for text in shares.values() if text.share == 1.0} == {""}


def test_a_cell_that_was_never_begun_is_missing(rows: list[CellRow]) -> None:
    without = [row for row in rows if (row.trial, row.dataset) != ("plot", "mini-pets")]
    plot = next(row for row in facts.coverage(without).rows if row[0].shown == "PLOT")
    assert "0/9" in [text.shown for text in plot]


def test_candidates_show_validation_and_never_test_accuracy(rows: list[CellRow]) -> None:
    table = facts.candidates(rows, "trial-003")
    assert table is not None
    assert "test/accuracy" not in table.heads
    assert "alignment.llm_weight" in table.heads
    own = [row for row in rows if row.trial == "trial-003" and row.finished]
    by_dataset = {d: [r.metrics["val/accuracy"] for r in own if r.dataset == d] for d in {r.dataset for r in own}}
    value = sum(sum(v) / len(v) for v in by_dataset.values()) / len(by_dataset)
    line = next(row for row in table.rows if row[0].shown == "trial-003")
    assert (line[1].sort, line[1].mark) == (pytest.approx(value), "best")
    values = [float(row[1].sort) for row in table.rows]
    assert values == sorted(values, reverse=True)


def test_reused_cells_cost_nothing(rows: list[CellRow]) -> None:
    half = [replace(row, reused_from="r" if i % 2 else None) for i, row in enumerate(rows)]
    by_dataset, by_trial = facts.costs(half)
    paid = sum(row.seconds for row in half if row.reused_from is None)
    for table in (by_dataset, by_trial):
        assert sum(float(row[2].sort) for row in table.rows) == pytest.approx(paid)
    assert f"{len(half) // 2} of {len(half)} cells were reused" in by_dataset.notes[0]


def test_failures_are_grouped_with_their_reasons(rows: list[CellRow]) -> None:
    table = facts.failures(rows)
    assert sum(float(row[2].sort) for row in table.rows) == sum(not row.finished for row in rows)
    assert all("nan in epoch 3" in row[-1] for row in texts(table))


def test_provenance_says_what_is_mixed_or_not_recorded(rows: list[CellRow]) -> None:
    table = facts.provenance(rows)
    assert ["device", "not recorded", str(sum(r.finished for r in rows))] in texts(table)
    first = next(i for i, row in enumerate(rows) if row.finished)
    other = [
        replace(row, origin={**row.origin, "dualpt.device": "H100"}) if i == first else row
        for i, row in enumerate(rows)
    ]
    assert "differ in device" in facts.provenance(other).notes[0]


def test_how_it_was_launched_is_shown() -> None:
    (absent,) = texts(launch_table(""))
    assert absent == ["launch", "not on record: an earlier version ran it"]
    resolved = {"search": {"sampler": "tpe", "space": {"prompt.n_prompts": {"int": [1, 2]}}}}
    record = LaunchRecord(command="dualpt sweep demo", commit="f" * 40, dirty=True, host="node1", resolved=resolved)
    shown = dict(texts(launch_table(record.as_text())))
    assert shown["command"] == "dualpt sweep demo"
    assert shown["commit"] == f"{'f' * 40} with uncommitted changes"
    assert shown["sampler"] == "tpe"
    assert shown["searched: prompt.n_prompts"] == '{"int": [1, 2]}'


def test_two_samples_of_one_place_are_marked(rows: list[CellRow]) -> None:
    drawn = next(i for i, row in enumerate(rows) if row.finished and row.shots)
    other = [replace(row, origin={"dualpt.sample": "f" * 64}) if i == drawn else row for i, row in enumerate(rows)]
    assert facts.samples(rows).notes == ()
    assert "1 samples differ" in facts.samples(other).notes[0]


def test_the_oracle_gap_is_shown_with_what_it_means_or_why_it_is_not(rows: list[CellRow]) -> None:
    tables, why = oracle_gaps("synthetic", cells_frame("synthetic", rows))
    assert (tables, why) == ([], "no candidate on record is what best of the sweep runs; launch the sweep again")
    finished = [row if row.finished else replace(row, status="FINISHED", metrics=rows[-1].metrics) for row in rows]
    keys = {(row.dataset, row.shots, row.seed): row.key for row in finished if row.trial == "trial-003"}
    own = [
        replace(row, key=keys.get((row.dataset, row.shots, row.seed), row.key)) if row.kind == "best" else row
        for row in finished
    ]
    (table,), why = oracle_gaps("synthetic", cells_frame("synthetic", own))
    assert why == ""
    assert MEANING in table.notes
    assert {line[1] for line in texts(table)} == {"1", "4", "16"}


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes most of a page's time."""
    for name in ("_figures", "_training"):
        monkeypatch.setattr(f"dualpt.sweeps.report.sections.{name}", lambda *_: [])
    monkeypatch.setattr("dualpt.sweeps.report.report.search_figures", lambda *_: ([], ""))


class Outside(HTMLParser):
    """Collects every address that a browser would ask for."""

    found: list[str]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            v for k, v in attrs if k in ("src", "href", "action", "data") and v and not v.startswith(("#", "data:"))
        ]


@pytest.mark.slow
def test_the_page_asks_for_nothing_and_escapes_what_is_recorded(big_page: Path) -> None:
    page = big_page.read_text(encoding="utf-8")
    parser = Outside()
    parser.found = []
    parser.feed(page)
    assert parser.found == []
    assert "url(" not in page
    assert "A sweep of &lt;b&gt;5,000&lt;/b&gt; cells." in page
    assert "<script>alert" not in page
    (data,) = re.findall(r'<script type="application/json" id="cell-data">(.*?)</script>', page, re.DOTALL)
    assert len(json.loads(data)["rows"]) == N_CELLS


@pytest.mark.slow
def test_a_trained_sweep_is_reported_and_logged(declare: Declare, log: Path, tmp_path: Path) -> None:
    sweep = declare(**{"grid.datasets": ["mini-pets", "mini-cars"], "search.trials": 2})
    train_here(sweep, log)
    store, study = sweep.file.run.tracking_uri, sweep.file.run.study_storage
    said = io.StringIO()
    narrow = Console(file=said, width=30)
    path = report_sweep(narrow, "small", store=store, study=study, out=tmp_path / "r.html", log=True)
    ledger = Ledger(store)
    run_id = ledger.read_sweep("small").run_id
    assert {str(path), run_id} <= set(said.getvalue().split()), "both whole, in one line each"
    assert len(said.getvalue().splitlines()) == 2
    with ledger.calls() as client:
        files = {file.path.removeprefix("report/") for file in client.list_artifacts(run_id, "report")}
    assert {
        "report.html",
        "tables-few-shot.csv",
        "tables-few-shot.md",
        "tables-few-shot.tex",
        "curves-few-shot.svg",
        "training-few-shot.pdf",
        "importance.svg",
    } <= files
    logged = ledger.artifact(run_id, "report/report.html", tmp_path)
    assert logged is not None
    assert logged.read_text() == path.read_text()
    (trial,) = [row for row in ledger.trials(ledger.named_experiment("small")) if row.selected]
    assert trial.ref.name == ledger.read_sweep("small").best


def test_bad_input_is_one_line(declare: Declare, log: Path, tmp_path: Path) -> None:
    store = declare().file.run.tracking_uri
    ledger = Ledger(store)
    ledger.open_sweep(ledger.experiment("empty"), "empty")
    ask: dict[str, Any] = {"store": store, "study": NO_STUDY, "out": tmp_path / "r.html", "log": False}
    with pytest.raises(UserError, match="did you mean 'empty'"):
        report_sweep(Console(quiet=True), "empti", **ask)
    with pytest.raises(UserError, match="no cell on record"):
        report_sweep(Console(quiet=True), "empty", **ask)
    with pytest.raises(UserError, match="no such tracking store"):
        report_sweep(Console(quiet=True), "empty", **{**ask, "store": f"sqlite:///{tmp_path / 'no.db'}"})


@pytest.fixture(scope="module")
def big_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("big")
    path = folder / "report.html"
    path.write_text(render(cells(N_CELLS), SWEEP, loss_curves, NO_STUDY, folder, {}), encoding="utf-8")
    return path


@pytest.mark.cluster
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_five_thousand_cells_open_a_page_at_a_time_and_quietly(
    browser: Any, big_page: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme, offline=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(big_page.as_uri())
    page.wait_for_selector("#cell-table tbody tr")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [big_page.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator("#cell-table tbody tr").count() == 100
    assert page.locator("*").count() < 2 * N_CELLS, "no table holds every cell: that is what makes a page slow to open"
    context.close()


def test_tables_of_methods_are_whole_and_long_ones_scroll(tmp_path: Path, without_figures: None) -> None:
    methods = [replace(row, trial=f"method-{i % 30}", trial_run_id=f"m{i % 30}") for i, row in enumerate(cells(120))]
    page = render(methods, SWEEP, loss_curves, NO_STUDY, tmp_path, {})
    boxes = re.findall(
        r'<div class="(scroll|scroll long)"[^>]*>\s*<table id="([^"]*)"[^>]*>(.*?)</table>', page, re.DOTALL
    )
    rows = {name: (kind, body.count("<tr>") - 1) for kind, name, body in boxes}
    assert rows["result-1-1-table"] == ("scroll", 30)
    assert rows["cell-table"][0] == "scroll long", "its rows come by pages of 100"
    assert all((kind == "scroll long") == (n > 40) for name, (kind, n) in rows.items() if name != "cell-table")


def test_the_average_and_the_winner_stand_first_and_figures_come_after_the_first_table(big_page: Path) -> None:
    page = big_page.read_text(encoding="utf-8")
    results = page[page.index('id="results"') : page.index('id="candidates"')]
    assert 0 < results.index("<table") < results.index("<img")
    tables = results.split("<table")[1:]
    heads = [re.findall("<button type=.button.>(.*?)</button>", table)[:2] for table in tables]
    assert heads[:2] == [["method", "1 shot"], ["method", "Average"]], "averages by shots, then the largest shots"
    winner = replace(cells(1)[0], trial="best", kind="best")
    settings = facts.setting_table([*cells(40), winner])
    assert (settings.heads[1], settings.kept) == (method_title("best"), 2)


@pytest.mark.cluster
@pytest.mark.parametrize("width", [1400, 400])
def test_what_one_looks_for_is_in_view_at_any_width(browser: Any, big_page: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(big_page.as_uri())
    place = page.locator("#result-1-2-table").locator("..")
    table = place.bounding_box()
    for end in (0, 100_000):  # at the left end, and at the right
        place.evaluate("(place, end) => { place.scrollLeft = end; }", end)
        method, average = (page.locator(f"#result-1-2-table tbody tr:first-child > :nth-child({n})") for n in (1, 2))
        left, shown = method.bounding_box(), average.bounding_box()
        assert left["x"] >= table["x"] - 1
        assert left["x"] + left["width"] <= shown["x"] + 1, "nothing covers the average"
        assert shown["x"] + shown["width"] <= table["x"] + table["width"]
    for image in page.locator(".picture img").all():
        assert image.bounding_box()["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.close()


@pytest.fixture(scope="module")
def many_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of candidates that differ in more than fifteen keys, and of little else."""
    rows, folder = cells(1100), tmp_path_factory.mktemp("keys")
    searched = [row for row in rows if row.kind == "search"]
    keys = [key for key in searched[0].params if key.startswith(("alignment", "optim", "prompt"))]
    assert len(keys) > 15
    trials = [replace(r, params={**r.params, **dict.fromkeys(keys, f"value-of-{r.trial}")}) for r in searched]
    path = folder / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dualpt.sweeps.report.report.search_figures", lambda *_: ([], ""))
        patch.setattr("dualpt.sweeps.report.report.oracle_gaps", lambda *_: ([], ""))
        patch.setattr("dualpt.sweeps.report.report.results_of", lambda *_: [])
        path.write_text(render([*rows[:40], *trials], SWEEP, loss_curves, NO_STUDY, folder, {}), encoding="utf-8")
    return path


PLACES_OF_CANDIDATES = """() => {
    const table = document.getElementById("candidates-t-table");
    const box = table.parentElement, row = table.tBodies[0].rows[0];
    const ends = (element) => [element.getBoundingClientRect().left, element.getBoundingClientRect().right];
    const shown = (left) => {
        box.scrollLeft = left;
        return [row.cells[0], row.cells[1], row.cells[row.cells.length - 1]].map(ends);
    };
    const root = document.documentElement;
    return {
        box: ends(box), start: shown(0), end: shown(100000), width: table.offsetWidth, columns: row.cells.length,
        page: [root.scrollWidth, root.clientWidth],
    };
}"""


@pytest.mark.cluster
@pytest.mark.parametrize("width", [1400, 400])
def test_candidates_of_many_searched_keys_scroll_in_their_own_box(browser: Any, many_keys: Path, width: int) -> None:
    """Trial and accuracy stay in view, however far one scrolls, and the page gets no wider."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(many_keys.as_uri())
    seen = page.evaluate(PLACES_OF_CANDIDATES)
    left, right = seen["box"]
    assert seen["columns"] > 18
    assert seen["width"] > 2 * (right - left)
    assert 0 <= left < right <= width
    for trial, accuracy, _ in (seen["start"], seen["end"]):
        assert left - 1 <= trial[0] < trial[1] <= accuracy[0] + 1
        assert accuracy[1] <= right
    assert seen["end"][2][1] <= right + 1, "the last key is reached"
    assert seen["page"][0] <= seen["page"][1]
    page.close()


def test_the_numbers_of_cells_are_rounded_once(tmp_path: Path, without_figures: None) -> None:
    row = replace(cells(1)[0], metrics={"test/accuracy": 12.00499996}, seconds=1.0049996)
    page = render([row], SWEEP, loss_curves, NO_STUDY, tmp_path, {})
    data = json.loads(re.findall('<script type="application/json" id="cell-data">(.*?)</script>', page)[0])
    shown = dict(zip([column["title"] for column in data["columns"]], data["rows"][0], strict=True))
    assert (shown["test/accuracy"], shown["seconds"]) == (12.0, 1.0), "by way of 12.005, 12.01"


@pytest.mark.cluster
def test_tables_are_sorted_filtered_and_paged_by_keyboard(browser: Any, big_page: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 850})
    page.goto(big_page.as_uri())
    # a table of results: focus a head, sort by it, and again the other way; what is missing stays last
    head = page.locator("#result-1-1-table thead th").nth(2)
    head.locator("button").focus()
    for key, order, sign in (("Enter", "descending", -1), ("Space", "ascending", 1)):
        page.keyboard.press(key)
        assert head.get_attribute("aria-sort") == order
        values = page.eval_on_selector_all(
            "#result-1-1-table tbody tr", "rows => rows.map(row => row.cells[2].dataset.v)"
        )
        numbers = [float(value) for value in values]
        known = [value for value in numbers if value != float("-inf")]
        assert numbers[: len(known)] == known == sorted(known, key=lambda value: sign * value)
    assert page.locator("#result-1-1-table th[aria-sort=ascending]").count() == 1
    # all cells: sorted as a whole and not by page, then filtered, then turned over
    page.locator("#cell-table thead button", has_text="test/accuracy").focus()
    page.keyboard.press("Enter")
    best = max(row.metrics.get("test/accuracy", 0) for row in cells(N_CELLS))
    column = page.eval_on_selector_all("#cell-table thead th", "all => all.map(th => th.textContent)").index(
        "test/accuracy"
    )
    assert page.locator("#cell-table tbody tr").first.locator("th, td").nth(column).text_content() == f"{best:.2f}"
    page.get_by_label("status").select_option("failed")
    failed = sum(not row.finished for row in cells(N_CELLS))
    assert page.locator("#cell-count").text_content().startswith(f"{failed} of {N_CELLS} cells")
    page.get_by_label("status").select_option("")
    page.get_by_role("button", name="Next").press("Enter")
    assert "101 to 200 are shown" in page.locator("#cell-count").text_content()
    page.get_by_role("searchbox", name="Text").fill("no such text")
    assert page.locator("#cell-table tbody tr").count() == 0
    page.close()


@pytest.mark.cluster
def test_focus_is_visible_and_print_hides_controls(browser: Any, big_page: Path) -> None:
    page = browser.new_page()
    page.goto(big_page.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.locator("#coverage-t-table thead button").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("#cell-filters").is_visible()
    page.close()
