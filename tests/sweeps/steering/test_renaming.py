"""`dualpt rename`: both stores together, completed after a kill; what it and `remove` refuse is one line."""

from pathlib import Path
from typing import Any

import pytest

from dualpt.core.errors import UserError
from dualpt.sweeps.launching.again import sweep_again
from dualpt.sweeps.launching.earlier_launches import refuse_another_file
from dualpt.sweeps.ledger.mlflow import Ledger
from dualpt.sweeps.ledger.mlflow import upkeep as in_mlflow
from dualpt.sweeps.search import study_upkeep
from dualpt.sweeps.search.study_upkeep import studies_of
from dualpt.sweeps.steering.renaming import rename
from tests.command_line import answer
from tests.sweeps.running import shown, trained
from tests.sweeps.steering.a_launch import SMALL, declared, opened, running


class Killed(Exception):
    """Stands for a kill."""


def killed(*_: Any, **__: Any) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("place", "step"),
    [
        (study_upkeep.optuna, "copy_study"),
        (study_upkeep, "_delete"),
        (in_mlflow.UpkeepLedger, "rename"),
        (None, ""),
    ],
)
def test_a_renaming_is_completed_by_the_same_command(
    store: str, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, place: Any, step: str
) -> None:
    old = declared(tmp_path, **SMALL)
    if place is not None:
        with monkeypatch.context() as cut_off:
            cut_off.setattr(place, step, killed)
            with pytest.raises(Killed):
                rename(store, "small", "other")
        with pytest.raises(UserError, match=r"half renamed: complete it first \(`dualpt rename small other`\)"):
            refuse_another_file(old)
    said = answer(("rename", "small", "other", "--store", store))
    assert said.code == 0, said.error
    assert said.out.startswith("small is other now")
    study = old.file.run.study_storage
    assert [one.name for one in studies_of(study, "other")] == ["other"]
    assert not studies_of(study, "small")
    ledger = Ledger(store)
    assert ledger.sweeps() == ["other"]
    assert {row.ref.sweep for row in ledger.trials(ledger.named_experiment("other"))} == {"other"}

    before = trained(log)
    again = sweep_again("other", {"run.tracking_uri": store})
    assert again.file.name == "other"
    dispatcher = opened(again)
    assert not dispatcher.has_work()
    assert trained(log) == before
    assert len(shown(again)) == dispatcher.total == dispatcher.counts.finished


def test_refusals_are_one_line_and_change_nothing(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(store)
    with ledger.calls() as client:
        client.create_experiment("theirs")
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert answer(("remove", "small", "--store", store)).code == 0, "asked, and answered with no"
    refused = {
        ("rename", "smal", "other"): "did you mean 'small'?",
        ("rename", "theirs", "other"): "isn't a sweep of dualpt: it is left alone",
        ("rename", "small", "theirs"): "has this name",
        ("rename", "small", "a/b"): "'a/b': a sweep's name has letters",
        ("remove", "theirs", "--yes"): "isn't a sweep of dualpt: it is left alone",
    }
    with running(declared(tmp_path, **SMALL)) as launch:
        for words in (("rename", "small", "other"), ("remove", "small", "--yes")):
            said = answer((*words, "--store", store))
            assert said.code == 2
            assert "is being run by process" in said.error
            assert "stop it first (`dualpt stop small`)" in said.error
        launch.dispatcher.close(interrupted=False)
    for words, fault in refused.items():
        said = answer((*words, "--store", store))
        assert said.code == 2, words
        assert fault in said.error, said.error
        assert said.error.count("\n") == 1
    assert ledger.sweeps() == ["small"]
    assert len(ledger.read_cells("small")) == 3
