"""The board over HTTP: what it answers and refuses. Then in a browser, at two widths and while a sweep runs."""

import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.search_spaces.sweep_file import check_sweep
from dualpt.sweeps.board.server import FILES, Hosts, Links
from dualpt.sweeps.ledger.heartbeat import Launch
from dualpt.sweeps.ledger.mlflow import Ledger
from tests.sweeps.board.board_server import running_board
from tests.sweeps.board.synthetic_store import write_store
from tests.sweeps.running import finish, open_dispatcher, train_here
from tests.sweeps.small_sweep import Declare, declaration

N_CELLS = 10_000


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a sweep that is done; answers change nothing."""
    folder = tmp_path_factory.mktemp("board")
    sweep = check_sweep({**declaration(folder), "description": "<script>alert(1)</script>"}, "test")
    train_here(sweep, folder / "trained.log")
    with running_board(sweep.file.run.tracking_uri) as url:
        yield url


def ask(url: str, path: str, **query: str) -> Any:
    return requests.get(f"{url}api/{path}", params=query, timeout=30)


def test_the_page_and_its_scripts_are_served_and_no_other_file(board: str) -> None:
    for path, (_, kind) in FILES.items():
        answer = requests.get(board.rstrip("/") + path, timeout=30)
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)
    for path in ("server.py", "../views.py", "%2e%2e/views.py", "..%2f..%2fcli.py", "mlflow.db", "/etc/passwd", "api"):
        session = requests.Session()
        request = requests.Request("GET", board).prepare()
        request.url = board + path  # as it stands: preparing would resolve the dots
        assert session.send(request, timeout=30).status_code == 404, path


def test_every_answer_forbids_other_sources_and_inline_scripts(board: str) -> None:
    for url in (board, f"{board}api/sweeps", f"{board}nothing"):
        headers = requests.get(url, timeout=30).headers
        assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_sent(board: str, method: str) -> None:
    assert requests.request(method, f"{board}api/sweeps", timeout=30).status_code == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[", ""])
def test_a_name_that_was_pointed_here_is_refused(board: str, host: str) -> None:
    assert requests.get(board, headers={"Host": host}, timeout=30).status_code in (400, 421)


def test_this_machines_names_are_answered(board: str) -> None:
    for host in ("localhost", "127.0.0.1:1234", "[::1]:8300", "LOCALHOST:8300"):
        assert requests.get(board, headers={"Host": host}, timeout=30).status_code == 200, host


def test_any_address_will_do_where_other_machines_are_let_in() -> None:
    hosts = Hosts(frozenset({"server"}), any_address=True)
    assert [hosts.answers(name) for name in ("10.0.0.7:8300", "[fe80::1]", "server:8300", "evil.example")] == [
        True,
        True,
        True,
        False,
    ]


def test_sweeps_are_listed_and_told(board: str) -> None:
    assert ask(board, "sweeps").json()["sweeps"] == [{"name": "small", "launch": "FINISHED"}]
    view = ask(board, "sweep", name="small").json()
    assert view["status"]["finished"] == 27
    assert view["description"] == "<script>alert(1)</script>"
    assert len(ask(board, "losses", name="small", dataset="mini-pets", shots="4").json()["lines"]) > 4
    assert ask(board, "beside", name="small", other="small").json()["differing"] == []


@pytest.mark.parametrize(
    ("path", "query", "code", "said"),
    [
        ("sweep", {"name": "smal"}, 404, "did you mean 'small'"),
        ("sweep", {}, 404, "no sweep named ''"),
        ("beside", {"name": "small", "other": "x" * 5000}, 404, "no sweep named"),
        ("losses", {"name": "small", "dataset": "mini-pets", "shots": "-1"}, 503, "shots: expected a whole number"),
        (
            "losses",
            {"name": "small", "dataset": "mini-pets", "shots": "9" * 400},
            503,
            "shots: expected a whole number",
        ),
    ],
)
def test_bad_requests_are_one_line(board: str, path: str, query: dict[str, str], code: int, said: str) -> None:
    answer = ask(board, path, **query)
    assert answer.status_code == code
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_board_of_named_sweeps_shows_no_other(done: LoadedSweep, declare: Declare, log: Path) -> None:
    train_here(declare(name="second"), log, stop_after=1)
    with running_board(done.file.run.tracking_uri, names=["small"]) as url:
        assert [one["name"] for one in ask(url, "sweeps").json()["sweeps"]] == ["small"]
        for query in ({"name": "second"}, {"name": "small", "other": "second"}):
            answer = ask(url, "beside" if "other" in query else "sweep", **query)
            assert answer.status_code == 503
            assert answer.json()["error"].startswith("this board shows small")


def test_a_store_that_is_gone_is_one_line(declare: Declare, log: Path) -> None:
    sweep = declare()
    train_here(sweep, log, stop_after=1)
    with running_board(sweep.file.run.tracking_uri) as url:
        Path(sweep.file.run.tracking_uri.removeprefix("sqlite:///")).unlink()
        answer = ask(url, "sweeps")
        assert answer.status_code == 503
        assert "no such tracking store" in answer.json()["error"]


def test_what_was_written_since_is_shown(declare: Declare, log: Path) -> None:
    sweep = declare()
    dispatcher = open_dispatcher(sweep)
    with running_board(sweep.file.run.tracking_uri) as url:
        assert ask(url, "sweep", name="small").json()["status"]["finished"] == 0
        finish(dispatcher, sweep, log)
        assert ask(url, "sweep", name="small").json()["status"]["finished"] == 27


@pytest.fixture(scope="module")
def big_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("big") / "mlflow.db"
    store = write_store(path, "synthetic", N_CELLS)
    with running_board(store) as url:
        ask(url, "sweep", name="synthetic")  # as the command does before it says its address
        yield url


@pytest.mark.cluster
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_ten_thousand_cells_are_drawn_quietly(browser: Any, big_board: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(big_board)
    page.wait_for_selector("body[data-drawn=synthetic]")
    page.wait_for_selector("#losses svg path")
    assert said == []
    assert all(url.startswith((big_board, "data:")) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator("#grid tbody tr").count() == 60
    assert "of 10000" in page.locator("#cards").inner_text()
    page.locator("#grid-pages button", has_text="Next").click()
    assert "page 2 of" in page.locator("#grid-pages").inner_text()
    context.close()


@pytest.mark.cluster
@pytest.mark.parametrize("width", [1400, 390])
def test_charts_have_words_of_one_size_round_ticks_and_whole_legends(browser: Any, big_board: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 850})
    page.goto(big_board)
    page.wait_for_selector("#losses svg path")
    for chart in ("#progress", "#losses"):
        drawn = page.locator(f"{chart} > svg")
        shown, own = drawn.bounding_box()["width"], float(drawn.get_attribute("viewBox").split()[2])
        assert shown == pytest.approx(own, abs=1), "scaled, with its words"
        ticks = [float(text) for text in drawn.locator('text[text-anchor="end"]').all_text_contents()]
        steps = {round(after - before, 9) for before, after in pairwise(ticks)}
        assert len(steps) == 1
        assert f"{steps.pop():e}"[0] in "125"
    for item in page.locator("#legend .item, #losses-note .item").all():
        assert item.bounding_box()["height"] < 30, item.inner_text()
    heads = page.locator("#candidates thead th")
    assert heads.last.get_attribute("title").endswith(f".{heads.last.inner_text()}")
    page.close()


@pytest.mark.cluster
def test_a_range_on_an_axis_keeps_the_candidates_inside(browser: Any, big_board: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 850})
    page.goto(big_board)
    strip = page.locator('rect.strip[data-key="val/accuracy"]')
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.2, steps=4)
    page.mouse.up()
    kept, judged = (int(n) for n in page.locator("#kept").inner_text().replace("of ", "").split()[:2])
    assert 0 < kept < judged
    assert page.locator("#parallel path.line:not(.off)").count() == kept
    shown = page.locator("#candidates tbody tr td:nth-child(2)").all_inner_texts()
    values = [float(text.partition(" ± ")[0]) for text in shown]
    assert len(values) == min(kept, 60)
    assert values == sorted(values, reverse=True)
    page.locator("#parallel text.name", has_text="accuracy").click()
    assert page.locator("#kept").inner_text() == ""
    assert page.locator("#parallel path.line.off").count() == 0
    page.close()


@pytest.mark.cluster
def test_a_running_sweep_fills_and_names_stay_text(browser: Any, declare: Declare, log: Path) -> None:
    sweep = declare(description="<img src=x onerror=alert(1)>")
    dispatcher = open_dispatcher(sweep)
    ledger = Ledger(sweep.file.run.tracking_uri)
    ledger.mark_launch(dispatcher.sweep_run, Launch(beat=time.time(), state={"cells": 27, "running": ["coop"]}).text())
    with running_board(sweep.file.run.tracking_uri) as url:
        page = browser.new_page()
        said: list[str] = []
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        page.wait_for_selector("body[data-drawn=small]")
        assert page.locator("#description").inner_text() == "<img src=x onerror=alert(1)>"
        assert "0 of 27" in page.locator("#cards").inner_text()
        assert "coop" in page.locator("#cards").inner_text()
        finish(dispatcher, sweep, log)
        page.locator("#cards", has_text="27 of 27").wait_for(timeout=15_000)
        page.wait_for_selector("#losses svg path")
        assert page.locator("#progress circle").count() == 4
        assert said == []
        page.close()


@pytest.mark.cluster
def test_a_candidate_with_few_of_its_cells_is_not_compared(done: LoadedSweep, browser: Any) -> None:

    def cut(route: Any) -> None:
        answer = route.fetch()
        view = answer.json()
        one = next(trial for trial in view["trials"] if trial["kind"] == "search")
        one |= {"counts": [one["counts"][0], *([0] * 5 for _ in one["counts"][1:])], "value": 99.0}
        route.fulfill(response=answer, json=view)

    with running_board(done.file.run.tracking_uri) as url:
        page = browser.new_page()
        page.route("**/api/sweep?*", cut)
        page.goto(url)
        page.wait_for_selector("#losses svg path")
        assert page.locator("#progress circle").count() == 3
        assert page.locator("#parallel path.line").count() == 3
        assert "99.0 ±" in page.locator("#candidates tbody tr").last.inner_text()
        page.close()


@pytest.mark.cluster
def test_two_sweeps_stand_side_by_side_by_their_address(
    done: LoadedSweep, browser: Any, declare: Declare, log: Path
) -> None:
    train_here(declare(name="second", setting={"optim": {"epochs": 7}}), log)
    links = Links("http://127.0.0.1:5000", "http://127.0.0.1:8080")
    with running_board(done.file.run.tracking_uri, links=links) as url:
        page = browser.new_page(viewport={"width": 390, "height": 850})
        page.goto(f"{url}?sweep=small&beside=second")
        page.wait_for_selector("#differing tbody tr")
        assert "optim.epochs" in page.locator("#differing").inner_text()
        assert page.locator("#averages table").count() == 2
        targets = [link.get_attribute("href") for link in page.locator("#links a").all()]
        trials = r"/runs\?workflowType=machine_learning&viewStateShareKey=dualpt"  # as a launch prints it
        assert re.fullmatch(r"http://127\.0\.0\.1:5000/#/experiments/\d+" + trials, targets[0])
        assert targets[1] == "http://127.0.0.1:8080/dashboard"
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.locator("#sweep").select_option("second")
        page.wait_for_selector("body[data-drawn=second]")
        assert page.url.endswith("?sweep=second")
        page.close()
