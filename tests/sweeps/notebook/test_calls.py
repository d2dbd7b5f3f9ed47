"""Training and sweeping by a call."""

from pathlib import Path
from typing import Any

import pytest

import dualpt
from dualpt.core.errors import UserError
from dualpt.core.method_catalog import load_method
from dualpt.search_spaces.sweep import LoadedSweep
from dualpt.sweeps.launching import before_training
from dualpt.sweeps.launching import launch as launching
from dualpt.sweeps.notebook.calls import Trained, sweep, train
from dualpt.sweeps.tools.train import cells_of
from tests.core.own_method import SOURCE
from tests.sweeps.running import finished

QUICK: dict[str, Any] = {"optim__epochs": 2, "prompt__context_length": 4}


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train("mini-tiles", method="coop", shots=1, seeds=(1, 2), **QUICK)


def test_a_call_trains_what_the_command_line_would(trained: Trained) -> None:
    words = ["optim.epochs=2", "prompt.context_length=4"]
    assert [result.cell for result in trained.results] == cells_of(
        "mini-tiles", 1, "1,2", "coop", "few-shot", None, words
    )
    assert trained.cells["seed"].tolist() == [1, 2]
    assert trained.cells["test/accuracy"].between(0, 100).all()
    assert trained.cells["failure"].isna().all()
    assert trained.losses.groupby("seed").size().tolist() == [2, 2]
    by_seed = trained.per_class[trained.per_class["test_set"] == "test"].groupby("seed")["accuracy"]
    assert by_seed.size().nunique() == 1


def test_what_was_trained_is_saved_and_loaded_as_a_classifier(trained: Trained, tmp_path: Path) -> None:
    files = trained.save(tmp_path / "kept")
    assert sorted(file.suffix for file in files) == [".json", ".json", ".safetensors", ".safetensors"]
    (contexts,) = [file for file in files if file.name.endswith("seed2.safetensors")]
    loaded, direct = dualpt.load_classifier(contexts), trained.classifier(2)
    assert loaded.classes == direct.classes
    assert repr(loaded) == f"<Classifier of {len(loaded.classes)} classes, learned on mini-tiles>"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"method": "coop", "shots": 0}, "shots: expected a whole number from 1 on, found 0"),
        ({"method": "coop", "shots": 1.5}, "shots: expected a whole number from 1 on, found 1.5"),
        ({"method": "cop"}, "did you mean 'coop'"),
        ({"seeds": ()}, "^seeds: give at least one"),
        ({"optim__epoch": 3}, "did you mean 'optim.epochs'"),
        ({"selection": "test"}, "selection: unknown rule 'test'"),
        ({"method": "coop", "shots": 1, "selection": "support-cv"}, "1 shot can't be divided"),
        ({"optim__epochs": 3, "optim.epochs": 4}, r"optim\.epochs is given twice"),
    ],
)
def test_faults_are_exceptions_before_training(ask: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        train("mini-tiles", **ask)


def test_nothing_was_learned_or_no_such_seed_is_one_line(trained: Trained) -> None:
    with pytest.raises(UserError, match=r"seed 7 was not trained \(trained: 1, 2\)"):
        trained.classifier(7)
    with pytest.raises(UserError, match="learned nothing"):
        train("mini-tiles", method="zero-shot").classifier()


def test_a_method_on_frozen_features_leaves_a_classifier_too() -> None:
    found = train("mini-tiles", method="nearest-mean", shots=1).classifier()
    assert repr(found) == "<Classifier of 8 classes, learned on mini-tiles>"


def test_a_sweep_is_launched_quietly_and_read_from_its_own_store(
    done: LoadedSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def record(loaded: Any, **options: Any) -> Any:
        asked.append((loaded.file, options))
        return finished("small", trained=16)

    monkeypatch.setattr(launching, "launch", record)
    monkeypatch.setattr(before_training, "draw_mini_datasets", lambda *_, **__: None)
    run = done.file.run
    found = sweep(
        "mini-grid", name="small", trials=3, run__tracking_uri=run.tracking_uri, run__study_storage=run.study_storage
    )
    ((file, options),) = asked
    assert file.search.trials == 3
    assert not options["progress"]
    assert found.outcome == finished("small", trained=16)
    assert len(found.cells) > 0
    assert (found.store, found.study) == (run.tracking_uri, run.study_storage)
    assert capsys.readouterr().out == ""


def test_a_sweep_that_is_refused_is_an_exception(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such sweep file; did you mean 'mini-grid'"):
        sweep("mini-gird")
    with pytest.raises(UserError, match="did you mean 'trials'"):
        sweep("mini-grid", search__trial=3)


def test_an_edited_method_of_ones_own_is_read_again(tmp_path: Path) -> None:
    """A notebook's kernel has read the file as it was."""
    file = tmp_path / "own.py"
    file.write_text(SOURCE)
    load_method(str(file))
    file.write_text("class Own(:\n")
    with pytest.raises(UserError, match=r"own\.py:1: invalid syntax"):
        train("mini-tiles", method=str(file), shots=1)
