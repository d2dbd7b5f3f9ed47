"""Another search under the same name hides nothing silently: what is set aside is said, listed and named."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.comparison.searched.candidate_ranks import read_candidates, read_set_aside
from dualpt.sweeps.launching.earlier_launches import finished_anywhere, set_aside
from dualpt.sweeps.launching.status import detailed, status_of
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.ledger.trial_settings import trial_setting
from tests.sweeps.fake_runner import fake_key
from tests.sweeps.running import train_here
from tests.sweeps.small_sweep import SPACE, Declare

OTHER: dict[str, Any] = {
    "search.space": {**SPACE, "alignment.llm_weight": {"float": [20, 30]}},
    "search.trials": 2,
}


def test_a_changed_space_sets_candidates_aside_under_names(declare: Declare, log: Path) -> None:
    first = declare()
    assert set_aside(first, fake_key) == []
    train_here(first, log)
    store = first.file.run.tracking_uri
    assert set_aside(first, fake_key) == [], "the same sweep again"
    before = trial_setting(store, "small/trial-003")
    (said,) = set_aside(declare(**OTHER), fake_key)
    assert "its 4 candidates are set aside as 'trial-001 (before 1)'" in said
    assert "`dualpt compare small --candidates` shows them beside the new ones" in said
    train_here(declare(**OTHER), log)
    reader = open_reader(store)
    experiment = reader.named_experiment("small")
    rows = reader.shown_cells(experiment, ())
    now = read_candidates(reader, experiment, rows, reader.sweep_row(experiment))
    assert sorted(one.name for one in now) == ["trial-001", "trial-002"], "no earlier one is ranked among them"
    aside = read_set_aside(reader, experiment)
    assert [one.name for one in aside] == [f"trial-00{n} (before 1)" for n in (1, 2, 3, 4)]
    assert {(one.rank, one.state, one.finished) for one in aside} == {(None, "set aside", 3)}
    assert trial_setting(store, "small/trial-003 (before 1)") == before
    status = status_of(reader, "small")
    assert status.set_aside == 4
    console = Console(width=200, file=io.StringIO())
    console.print(detailed(status, console))
    assert "4 candidates of another search space set aside" in console.file.getvalue()  # type: ignore[attr-defined]


def test_finished_cells_are_the_trained_ones_and_not_those_that_took_their_numbers(done: LoadedSweep) -> None:
    """The selected setting's cells are copies of a candidate's: with them alone, its time would be unknown."""
    rows = finished_anywhere(done.file.run.tracking_uri)
    assert any(row.reused_from for row in open_reader(done.file.run.tracking_uri).read_cells("small"))
    assert [row for row in rows if row.reused_from is not None] == []
    assert len({row.key for row in rows}) == len(rows)


def test_names_of_what_is_set_aside_stay(done: LoadedSweep, declare: Declare, log: Path) -> None:
    store = declare().file.run.tracking_uri
    first = trial_setting(store, "small/trial-002")
    train_here(declare(**OTHER), log)
    second = trial_setting(store, "small/trial-002")
    train_here(declare(**{**OTHER, "search.space": {"alignment.llm_weight": {"float": [40, 50]}}}), log)
    assert trial_setting(store, "small/trial-002 (before 1)") == first
    assert trial_setting(store, "small/trial-002 (before 2)") == second


def test_other_judged_cells_are_said(done: LoadedSweep, declare: Declare) -> None:
    (said,) = set_aside(declare(**{"search.seeds": [2]}), fake_key)
    assert said.startswith(
        "the cells that candidates of 'small' are judged on have changed: its 4 candidates are judged"
    )


def test_trials_that_a_former_version_superseded_have_a_name(done: LoadedSweep) -> None:
    ledger = Ledger(done.file.run.tracking_uri)
    row = next(row for row in ledger.trials(ledger.named_experiment("small")) if row.ref.name == "trial-002")
    with ledger.calls() as client:
        client.set_tag(row.ref.run_id, "dualpt.superseded", "true")
    (aside,) = read_set_aside(ledger, ledger.named_experiment("small"))
    assert aside.name == "trial-002 (before)"
