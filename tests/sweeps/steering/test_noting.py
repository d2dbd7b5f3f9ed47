"""Notes and tags of sweeps, trials and cells, wherever they are shown."""

import io
import json

from rich.console import Console

from dualpt.sweeps.board.views import sweep_view
from dualpt.sweeps.launching.status import show_status
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.notes import notes_on
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.records import NOTE_TAG
from tests.command_line import answer

CELL = "best/mini-pets/4/1"


def say(store: str, *words: str) -> str:
    done = answer(("note", "small", *words, "--store", store))
    assert done.code == 0, done.error
    return done.out.strip()


def test_notes_are_shown_where_their_sweep_trial_or_cell_is(store: str) -> None:
    assert say(store, "before the [new] draws") == "small: before the [new] draws"
    assert say(store, "trial-001", "two\nlines", "--tag", "keep=no") == "small/trial-001: two lines [keep=no]"
    assert say(store, "of two words", "--tag", "keep=yes") == "small: of two words [keep=yes]"
    assert say(store, "before the [new] draws", "--tag", "keep=") == "small: before the [new] draws"
    assert say(store, CELL, "--tag", "look=cats") == f"small/{CELL}: [look=cats]"
    wanted = {"small": "before the [new] draws", "trial-001": "two lines [keep=no]", CELL: "[look=cats]"}
    for reader in (open_reader(store), Ledger(store)):
        experiment = reader.named_experiment("small")
        rows = reader.shown_cells(experiment, ())
        assert notes_on(reader, experiment, reader.sweep_row(experiment), rows) == wanted
    assert sweep_view(reader, "small", rows).status["notes"] == wanted

    shown = io.StringIO()
    show_status(Console(file=shown, width=200), "small", store=store, as_json=False)
    for place, noted in wanted.items():
        assert f"note on {place}: {noted}" in shown.getvalue()
    for form, read in (("table", str), ("json", json.loads)):
        listed = answer(("compare", "small", "--candidates", "--format", form, "--store", store))
        assert "two lines [keep=no]" in str(read(listed.out))

    ledger = Ledger(store)
    row = next(row for row in ledger.trials(experiment) if row.ref.name == "trial-001")
    with ledger.calls() as client:
        assert client.get_run(row.ref.run_id).data.tags[NOTE_TAG] == "two lines", "MLflow shows it"
    assert say(store, "trial-001", "--remove", "--tag", "keep=") == "small/trial-001: no note"
    with ledger.calls() as client:
        assert NOTE_TAG not in client.get_run(row.ref.run_id).data.tags


def test_refusals_are_one_line(store: str) -> None:
    refused: dict[tuple[str, ...], str] = {
        ("smal", "text"): "did you mean 'small'?",
        ("small", "trial-01", "text"): "has no trial 'trial-01' on record; did you mean 'trial-001'?",
        ("small", "best/mini-cars/4/1", "text"): "no finished cell of dataset 'mini-cars'",
        ("small",): "give one text, in quotes",
        ("small", "trial-001"): "'trial-001' is in sweep 'small': write its note after it",
        ("small", CELL): f"'{CELL}' is in sweep 'small': write its note after it",
        ("small", "trial-001", "two", "words"): "give one text, in quotes",
        ("small", "--tag", "keep"): "--tag keep: expected key=value",
        ("small", "--tag", "a b=1"): "--tag a b=1: expected key=value",
        ("small", "x" * 2001): "the note has 2001 characters, and 2000 are kept",
    }
    for words, fault in refused.items():
        said = answer(("note", *words, "--store", store))
        assert said.code == 2, words
        assert fault in said.error, said.error
        assert said.error.count("\n") == 1
