import logging

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

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


def test_one_flipped_bit_in_learned_contexts_is_one_clear_error(tmp_path):
    path, contexts = tmp_path / "contexts.safetensors", torch.randn(1, 4, 8)
    save_contexts(path, contexts, {"seed": "1"})
    flip_a_bit(path, contexts)
    with pytest.raises(UserError, match=r"contexts\.safetensors: damaged: .*the checksum differs"):
        load_contexts(path)


def test_changed_metadata_is_damage_too(tmp_path):
    path = tmp_path / "contexts.safetensors"
    save_contexts(path, torch.randn(1, 4, 8), {"seed": "1"})
    path.write_bytes(path.read_bytes().replace(b'"seed":"1"', b'"seed":"2"'))
    with pytest.raises(UserError, match="damaged"):
        load_contexts(path)


def test_files_from_before_checksums_are_read(tmp_path):
    state = {"contexts": STATE.contexts, "momentum": STATE.momentum, "losses": STATE.losses}
    save_file(state, tmp_path / "state", {"fingerprint": "print", "seconds": "1.75"})
    loaded = Checkpoint(tmp_path / "state", 1, "print").load()
    assert loaded is not None
    assert torch.equal(loaded.contexts, STATE.contexts)
    save_file({"contexts": torch.ones(1, 4, 8)}, tmp_path / "old.safetensors", {"seed": "1"})
    assert load_contexts(tmp_path / "old.safetensors")[1] == {"seed": "1"}


def test_contexts_that_are_not_finite_are_refused(tmp_path):
    save_contexts(tmp_path / "contexts.safetensors", torch.full((1, 4, 8), float("nan")))
    with pytest.raises(UserError, match=r"the learned contexts are not finite"):
        load_contexts(tmp_path / "contexts.safetensors")


def flip_a_bit(path, tensor):
    """The lowest bit of the mantissa of the tensor's first number, wherever that lies in the file."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    place = content.tobytes().index(tensor.contiguous().numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content.tobytes())


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
