"""Candidates in a terminal of any width, at the end of a sweep, in `status`, in `compare --candidates`, and as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.cli import app
from dualpt.sweeps.comparison.compare import show_candidates
from dualpt.sweeps.comparison.searched.candidate_ranks import Candidate
from dualpt.sweeps.comparison.searched.candidate_table import candidate_grid, grid_notes
from dualpt.sweeps.launching.outcome import report
from dualpt.sweeps.launching.status import detailed, show_status, status_of
from dualpt.sweeps.ledger.opening import open_reader
from tests.sweeps.running import finished, train_here
from tests.sweeps.small_sweep import Declare

VALUES = {
    "alignment.llm_weight": "10.465561671468224",
    "alignment.local_form": "attention",
    "alignment.attention_beta": "17.071968626193406",
    "prompt.context_length": "16",
    "optim.learning_rate": "0.0031",
}
CANDIDATES = [
    Candidate("trial-002", 1, 68.75, 6.25, 2, 2, "selected", VALUES),
    Candidate("trial-001", 2, 60.0, None, 1, 2, "judged", {"prompt.context_length": "4"}),
    Candidate("trial-003", None, None, None, 0, 2, "failed", {"prompt.context_length": "8"}),
]


def printed(candidates: Sequence[Candidate], width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(candidate_grid(candidates, console))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_word_is_broken_at_any_width(width: int) -> None:
    text = printed(CANDIDATES, width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("trial-002", "68.8 ± 6.2", "2/2", "selected", "attention_beta", "10.47", "17.07", "0.0031", "failed"):
        assert word in text


def test_the_winners_values_stand_on_the_last_lines() -> None:
    outcome = replace(
        finished("small", trained=3), best="trial-002", best_value=68.75, candidates=tuple(CANDIDATES), failed=1
    )
    console = Console(file=io.StringIO(), width=80)
    report(outcome, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[-2] == "  best candidate trial-002: validation accuracy 68.8"
    assert lines[-1] == "  trial-002: " + " ".join(f"{key}={value}" for key, value in VALUES.items())
    document = json.loads(json.dumps(outcome.summary()))
    assert document["candidates"][0]["values"]["alignment.llm_weight"] == 10.465561671468224
    assert document["candidates"][0]["values"]["prompt.context_length"] == 16


def test_status_and_compare_show_them(done: LoadedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    store = done.file.run.tracking_uri
    status = status_of(open_reader(store), "small")
    console = Console(file=io.StringIO(), width=100)
    console.print(detailed(status, console))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"{status.best}: alignment.llm_weight=" in text.splitlines()[-1]
    show_status(Console(quiet=True), "small", store=store, as_json=True)
    listed = json.loads(capsys.readouterr().out)["small"]["candidates"]
    assert [one["rank"] for one in listed] == [1, 2, 3, 4]
    show_candidates(Console(quiet=True), ["small"], form="csv", output=None, store=store)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["trial"] for row in rows] == [one["trial"] for one in listed]
    assert float(rows[0]["values.alignment.llm_weight"]) == listed[0]["values"]["alignment.llm_weight"]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    whole = {row["values.alignment.topk"] for row in rows}
    assert "" in whole, "a value that doesn't matter"
    assert all(text.isdecimal() for text in whole - {""})


def test_the_legend_speaks_of_blanks_where_there_are_columns_alone() -> None:
    for width, blank in ((40, False), (300, True)):
        grid = candidate_grid(CANDIDATES, Console(width=width))
        assert any("blank" in note for note in grid_notes(grid)) is blank


def test_bad_input_is_one_line(declare: Declare, log: Path) -> None:
    sweep = declare(search=None)
    train_here(sweep, log)
    store = sweep.file.run.tracking_uri
    with pytest.raises(UserError, match="'small' has no candidate on record"):
        show_candidates(Console(quiet=True), ["small"], form="table", output=None, store=store)
    with pytest.raises(UserError, match="--shots: belongs to the table of methods; leave it or --candidates out"):
        app(["compare", "small", "--candidates", "--shots", "4", "--store", store], standalone_mode=False)
