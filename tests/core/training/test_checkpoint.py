import logging

import pytest
import torch

from dualpt.core.arrays import ClassText
from dualpt.core.errors import UserError
from dualpt.core.training.checkpoint import Checkpoint, TrainState, fingerprint_of, load_contexts, save_contexts

STATE = TrainState(
    contexts=torch.randn(2, 1, 4, 8),
    momentum=torch.randn(2, 1, 4, 8),
    losses=torch.tensor([[1.5, float("nan")], [1.25, float("nan")]], dtype=torch.float64),
    seconds=1.75,
)


def test_contexts_come_back_with_their_metadata(tmp_path):
    path = tmp_path / "new folder" / "contexts.safetensors"
    contexts = torch.randn(3, 1, 4, 8).transpose(2, 3)
    save_contexts(path, contexts, {"dataset": "dtd", "seed": "1"})
    loaded, metadata = load_contexts(path)
    assert torch.equal(loaded, contexts)
    assert metadata == {"dataset": "dtd", "seed": "1"}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [None, b"", b"no tensors here", b"\x80\x04pickle"])
def test_what_is_no_file_of_contexts_is_one_clear_error(tmp_path, content):
    path = tmp_path / "contexts.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"contexts\.safetensors: not a file of learned contexts"):
        load_contexts(path)


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
