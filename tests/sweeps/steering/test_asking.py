"""`dualpt stop` and `clone` beside a running launch, and where none runs; whatever they refuse is one line."""

from pathlib import Path

import pytest

from dualpt.sweeps.launching.earlier_launches import queued_candidates
from dualpt.sweeps.launching.status import status_of
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.steering.cloning import clone
from dualpt.sweeps.steering.stopping import stop
from tests.command_line import answer
from tests.sweeps.running import finish, shown
from tests.sweeps.small_sweep import Declare
from tests.sweeps.steering.a_launch import SMALL, declared, opened, running

WEIGHT = "alignment.llm_weight"


@pytest.fixture
def folder(declare: Declare, tmp_path: Path) -> Path:
    """With empty stores."""
    return tmp_path


def test_a_running_launch_takes_a_clone_stops_a_trial_and_ends(folder: Path, log: Path) -> None:
    sweep = declared(folder, **SMALL)
    uri = sweep.file.run.tracking_uri
    with running(sweep) as launch:
        finish(launch.dispatcher, sweep, log)
        Ledger(uri).open_sweep(launch.dispatcher.experiment, "small")
    sweep = declared(folder, **{**SMALL, "search.trials": 3})
    with running(sweep) as launch:
        assert launch.meanwhile(clone, uri, "small", "trial-001", {WEIGHT: 7.5})[0] == "small: it is tried next"
        assert launch.dispatcher.has_work()
        assert launch.meanwhile(stop, uri, "small", "trial-002")[0] == "small: trial-002 stops"
        said = launch.meanwhile(stop, uri, "small", None)
        assert said[0].endswith(": the sweep stops: it finishes the packs in training")
        assert launch.steering.stopped
        assert launch.dispatcher.assign() is None
        launch.dispatcher.close(interrupted=True)
        assert not Ledger(uri).requests(launch.dispatcher.sweep_run), "whoever asked has taken the answer"
    stopped = Ledger(uri).trial_settings("small/trial-002")["trial-002"]
    assert stopped[WEIGHT] == 7.5
    assert status_of(Ledger(uri), "small").stopped == ["trial-002"]
    assert all("stop" in note or "clone" in note for note in launch.notes)


def test_a_clone_waits_for_the_next_launch(folder: Path, log: Path) -> None:
    sweep = declared(folder, **SMALL)
    uri = sweep.file.run.tracking_uri
    finish(opened(sweep), sweep, log)
    done = answer(("clone", "small", "best", f"{WEIGHT}=4.5", "--store", uri))
    assert done.code == 0, done.error
    assert "no launch runs it: the next one tries the candidate (dualpt sweep --again small)" in done.out
    (line,) = queued_candidates(uri, "small")
    assert line.endswith("beyond this plan: 1")
    with running(sweep) as launch:
        launch.steering.carry_out(launch.dispatcher)
        finish(launch.dispatcher, sweep, log)
    (cell,) = shown(sweep, lambda row: row.trial == "trial-002")
    assert (cell.params[WEIGHT], cell.finished) == ("4.5", True)
    assert queued_candidates(uri, "small") == []


def test_refusals_are_one_line(folder: Path, log: Path) -> None:
    sweep = declared(folder, **SMALL)
    uri = sweep.file.run.tracking_uri
    dispatcher = opened(sweep)
    finish(dispatcher, sweep, log)
    ledger = Ledger(uri)
    with ledger.calls() as client:
        client.create_experiment("theirs")
    refused = {
        ("stop", "smal"): "did you mean 'small'?",
        ("stop", "theirs"): "isn't a sweep of dualpt: it is left alone",
        ("stop", "small"): "no launch runs sweep 'small' (the last one ended as finished): there is nothing to stop",
        ("stop", "small", "trial-01"): "has no trial 'trial-01'; did you mean 'trial-001'?",
        ("stop", "small", "best"): "trial 'best' of 'small' has finished: there is nothing to stop",
        ("clone", "small", "trial-001", "optim.epochs=3"): "'optim.epochs' isn't searched by 'small'",
        ("clone", "small", "trial-001", f"{WEIGHT}=400"): f"{WEIGHT} is 400.0 there, outside the space "
        f"([0.1, 10]); give another value, or widen search.space.{WEIGHT}",
        ("clone", "small", "trial-001"): "has tried these values: they are trial-001's",
        ("clone", "small", "zero-shot"): "in this sweep",
    }
    for words, fault in refused.items():
        said = answer((*words, "--store", uri))
        assert said.code == 2, words
        assert fault in said.error, said.error
        assert said.error.count("\n") == 1
    assert not ledger.requests(dispatcher.sweep_run), "nothing is asked for that is refused"


def test_a_trial_that_was_cut_off_can_be_stopped_where_no_launch_runs(folder: Path, log: Path) -> None:
    sweep = declared(folder, **{**SMALL, "grid.datasets": ["mini-pets", "mini-cars"]})
    uri = sweep.file.run.tracking_uri
    dispatcher = opened(sweep)
    finish(dispatcher, sweep, log, stop_after=2)
    dispatcher.close(interrupted=True)
    assert "no launch trains it further" in stop(uri, "small", "trial-001")[0]
    again = answer(("stop", "small", "trial-001", "--store", uri))
    assert "trial 'trial-001' of 'small' is stopped already" in again.error
    following = opened(sweep)
    assert not following.has_work()
    assert following.complete
