import logging

import pytest
import torch
from safetensors.torch import save_file

from dualpt.core.arrays import ClassText
from dualpt.core.prompts.contexts_file import save_contexts
from dualpt.core.training.checkpoint import Checkpoint, TrainState, fingerprint_of
from tests.core.damage import flip_a_bit

STATE = TrainState(
    contexts=torch.randn(2, 1, 4, 8),
    momentum=torch.randn(2, 1, 4, 8),
    losses=torch.tensor([[1.5, float("nan")], [1.25, float("nan")]], dtype=torch.float64),
    seconds=1.75,
)


def test_a_state_comes_back_whole(tmp_path):
    Checkpoint(tmp_path / "state", 1, "print").save(STATE)
    loaded = Checkpoint(tmp_path / "state", 1, "print").load()
    assert loaded is not None
    assert len(loaded.losses) == 2
    assert loaded.seconds == 1.75
    assert torch.equal(loaded.contexts, STATE.contexts)
    assert torch.equal(loaded.momentum, STATE.momentum)
    assert torch.equal(loaded.losses.nan_to_num(-1), STATE.losses.nan_to_num(-1))


def test_a_missing_state_is_no_cause_for_a_warning(tmp_path, caplog):
    assert Checkpoint(tmp_path / "state", 1, "print").load() is None
    assert not caplog.records


@pytest.mark.parametrize("tensor", ["contexts", "momentum", "losses"])
def test_one_flipped_bit_restarts_a_run_and_says_so(tmp_path, caplog, tensor):
    """The format itself would read another number."""
    path = tmp_path / "state"
    Checkpoint(path, 1, "print").save(STATE)
    flip_a_bit(path, getattr(STATE, tensor))
    with caplog.at_level(logging.WARNING):
        assert Checkpoint(path, 1, "print").load() is None
    assert "starting from the first epoch" in caplog.text
    assert "the checksum differs" in caplog.text


def test_files_from_before_checksums_are_read(tmp_path):
    state = {"contexts": STATE.contexts, "momentum": STATE.momentum, "losses": STATE.losses}
    save_file(state, tmp_path / "state", {"fingerprint": "print", "seconds": "1.75"})
    loaded = Checkpoint(tmp_path / "state", 1, "print").load()
    assert loaded is not None
    assert torch.equal(loaded.contexts, STATE.contexts)


@pytest.mark.parametrize("damage", ["other arguments", "half a file", "contexts only"])
def test_an_unusable_state_is_left_with_a_warning(tmp_path, caplog, damage):
    path = tmp_path / "state"
    Checkpoint(path, 1, "print" if damage != "other arguments" else "other").save(STATE)
    if damage == "half a file":
        path.write_bytes(path.read_bytes()[:100])
    if damage == "contexts only":
        save_contexts(path, STATE.contexts)
    with caplog.at_level(logging.WARNING):
        assert Checkpoint(path, 1, "print").load() is None
    assert "starting from the first epoch" in caplog.text


def test_a_state_that_cannot_be_written_costs_no_result(tmp_path, caplog):
    (tmp_path / "folder").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert not Checkpoint(tmp_path / "folder" / "state", 1, "print").save(STATE)
    assert "no checkpoint is written, and training goes on without" in caplog.text


def test_fingerprints_tell_arguments_apart():
    def arguments(**changes):
        text = ClassText(((1, 2), (3,)), descriptions=torch.ones(2, 1, 4))
        return {"seeds": [1, 2], "text": text, "samples": torch.arange(6).view(2, 3), "init": None} | changes

    base = fingerprint_of(arguments())
    assert base == fingerprint_of(arguments())
    for changes in (
        {"seeds": [2, 1]},
        {"samples": torch.arange(6).view(3, 2)},
        {"samples": torch.arange(6).view(2, 3).int()},
        {"text": ClassText(((1, 2), (4,)), descriptions=torch.ones(2, 1, 4))},
        {"init": "a"},
    ):
        assert fingerprint_of(arguments(**changes)) != base


def test_a_disk_that_takes_no_state_costs_no_training(tmp_path, caplog):
    (tmp_path / "full").touch()  # a file where the folder should be: no user can write beneath it
    with caplog.at_level(logging.WARNING):
        assert not Checkpoint(tmp_path / "full" / "state", 1, "print").save(STATE)
    assert "training goes on without" in caplog.text
    assert Checkpoint(tmp_path / "state", 1, "print").save(STATE)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []
