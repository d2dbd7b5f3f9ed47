"""What the page is told of a sweep."""

import json
from dataclasses import asdict
from pathlib import Path

from dualpt.core.results import VAL_ACCURACY
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.board.views import STATES, SweepView, loss_view, sweep_view
from dualpt.sweeps.ledger.launch_record import LaunchRecord
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.opening import open_reader
from dualpt.sweeps.records import LAUNCHED_TAG
from tests.sweeps.running import shown, train_here
from tests.sweeps.small_sweep import SPACE, Declare


def view_of(sweep: LoadedSweep) -> SweepView:
    reader = open_reader(sweep.file.run.tracking_uri)
    return sweep_view(reader, sweep.file.name, reader.read_cells(sweep.file.name, ()))


def test_the_grid_counts_every_cell_once(declare: Declare, log: Path) -> None:
    sweep = declare()
    train_here(sweep, log, stop_after=7)
    view, rows = view_of(sweep), shown(sweep)
    counted = [sum(entry[n] for trial in view.trials for entry in trial.counts) for n in range(len(STATES))]
    assert counted[STATES.index("FINISHED")] == sum(row.finished for row in rows)
    assert counted[STATES.index("MISSING")] == view.status["missing"] > 0
    assert {trial.name for trial in view.trials} >= {row.trial for row in rows}
    assert view.datasets == ["mini-pets", "mini-cars", "mini-dishes"]


def test_a_single_candidate_has_every_searched_key(declare: Declare, log: Path) -> None:
    """It differs from nothing yet, and its values are what one wants to see."""
    sweep = declare(**{"search.trials": 1})
    train_here(sweep, log)
    ledger = Ledger(sweep.file.run.tracking_uri)
    launched = LaunchRecord(resolved={"search": {"space": SPACE}}).as_text()
    row = ledger.read_sweep("small")
    with ledger.calls() as client:
        client.set_tag(row.run_id, LAUNCHED_TAG, launched)
    view = view_of(sweep)
    (candidate,) = [trial for trial in view.trials if trial.kind == "search"]
    assert view.keys == list(SPACE)
    assert {"alignment.llm_weight", "alignment.local_form"} <= candidate.settings.keys()


def test_candidates_have_what_was_searched_and_their_mean_validation_accuracy(done: LoadedSweep) -> None:
    view = view_of(done)
    candidates = [trial for trial in view.trials if trial.kind == "search"]
    assert set(SPACE) <= set(view.keys)
    assert len(candidates) == 4
    for trial in candidates:
        own = [row for row in shown(done) if row.trial == trial.name]
        assert trial.value is not None
        assert abs(trial.value - sum(row.metrics[VAL_ACCURACY] for row in own) / len(own)) < 1e-9
        assert trial.standard_error is not None
        assert trial.settings["alignment.llm_weight"] == float(own[0].params["alignment.llm_weight"])
        assert ("alignment.topk" in trial.settings) <= (trial.settings["alignment.local_form"] == "topk")
    assert [trial.name for trial in candidates if trial.selected] == [view.status["best"]]
    assert view.basis is not None
    assert view.basis.startswith("highest of 4 candidates")


def test_the_view_is_json_without_test_accuracies(done: LoadedSweep) -> None:
    text = json.dumps(asdict(view_of(done)), allow_nan=False)
    assert "test/" not in text


def test_losses_are_those_of_one_dataset_at_its_shots(done: LoadedSweep) -> None:
    reader = open_reader(done.file.run.tracking_uri)
    lines = loss_view(reader, reader.read_cells("small", ()), "mini-cars", 4)
    trained = [row for row in shown(done) if row.dataset == "mini-cars" and row.shots == 4]
    assert len(lines) == len(trained)
    assert lines[0]["points"] == [(1, 2.0), (2, 1.0), (3, 0.5)]
    assert loss_view(reader, reader.read_cells("small", ()), "mini-cars", 16) == []


def test_params_are_read_alike_by_sql_and_by_mlflow(declare: Declare, log: Path) -> None:
    sweep = declare()
    train_here(sweep, log, stop_after=3)
    runs = [row.run_id for row in shown(sweep)]
    uri = sweep.file.run.tracking_uri
    assert open_reader(uri).params_of(runs) == Ledger(uri).params_of(runs)
