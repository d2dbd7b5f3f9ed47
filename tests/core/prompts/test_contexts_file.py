"""Learned contexts come back as they were written, or not at all; CoOp's can be started from."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dualpt.core.errors import UserError
from dualpt.core.prompts.contexts_file import contexts_file, load_contexts, read_start, save_contexts
from tests.core.damage import flip_a_bit


def test_contexts_come_back_with_their_metadata(tmp_path):
    path = tmp_path / "new folder" / "contexts.safetensors"
    contexts = torch.randn(3, 1, 4, 8).transpose(2, 3)
    save_contexts(path, contexts, {"dataset": "dtd", "seed": "1"})
    loaded, metadata = load_contexts(path)
    assert torch.equal(loaded, contexts)
    assert metadata == {"dataset": "dtd", "seed": "1"}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_contexts_lie_alike_behind_a_header_of_any_length(tmp_path):
    """Where a tensor begins decides the last bits of products with it."""
    for length in range(0, 64, 8):
        save_contexts(tmp_path / "contexts.safetensors", torch.randn(1, 4, 8), {"about": "x" * length})
        assert load_contexts(tmp_path / "contexts.safetensors")[0].data_ptr() % 64 == 0, length


@pytest.mark.parametrize("content", [None, b"", b"no tensors here", b"\x80\x04pickle"])
def test_what_is_no_file_of_contexts_is_one_clear_error(tmp_path, content):
    path = tmp_path / "contexts.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"contexts\.safetensors: not a file of learned contexts"):
        load_contexts(path)


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


def test_the_content_of_the_file_without_writing_it(tmp_path):
    contexts = torch.randn(1, 4, 8)
    (tmp_path / "contexts.safetensors").write_bytes(contexts_file(contexts, {"seed": "1"}))
    loaded, metadata = load_contexts(tmp_path / "contexts.safetensors")
    assert torch.equal(loaded, contexts)
    assert metadata == {"seed": "1"}
    flip_a_bit(tmp_path / "contexts.safetensors", contexts)
    with pytest.raises(UserError, match="the checksum differs"):
        load_contexts(tmp_path / "contexts.safetensors")


def test_one_replica_of_a_pack_is_written_alone():
    """`torch.save` would write the whole pack that the slice is a view of."""
    pack = torch.randn(64, 1, 4, 8)
    assert len(contexts_file(pack[3], {})) < 2 * pack[3].nbytes + 500 < pack.nbytes


def test_files_from_before_checksums_are_read(tmp_path):
    save_file({"contexts": torch.ones(1, 4, 8)}, tmp_path / "old.safetensors", {"seed": "1"})
    assert load_contexts(tmp_path / "old.safetensors")[1] == {"seed": "1"}


def test_contexts_that_are_not_finite_are_refused(tmp_path):
    save_contexts(tmp_path / "contexts.safetensors", torch.full((1, 4, 8), float("nan")))
    with pytest.raises(UserError, match=r"the learned contexts are not finite"):
        load_contexts(tmp_path / "contexts.safetensors")


def coop_file(path: Path, contexts: Tensor, **others: object) -> Path:
    """As Dassl saves a CoOp run: its scheduler's state holds objects, its results NumPy scalars."""
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.ones(1)]), 5)
    state = {"ctx": contexts, "token_prefix": torch.ones(3, 1, 8), "token_suffix": torch.ones(3, 72, 8)}
    content = {"state_dict": state, "epoch": 50, "scheduler": {"successor": scheduler}, "val_result": np.float64(71.3)}
    torch.save({**content, **others}, path)
    return path


class TestStart:
    def test_our_own(self, tmp_path: Path) -> None:
        contexts = torch.randn(2, 4, 8)
        save_contexts(tmp_path / "contexts.safetensors", contexts)
        assert torch.equal(read_start(tmp_path / "contexts.safetensors", (2, 4, 8)), contexts)

    @pytest.mark.parametrize(
        ("stored", "wanted"),
        [((4, 8), (1, 4, 8)), ((2, 4, 8), (2, 4, 8)), ((3, 4, 8), (3, 1, 4, 8))],
        ids=["CoOp", "PLOT", "class-specific CoOp"],
    )
    def test_of_a_dassl_checkpoint(self, tmp_path: Path, stored: tuple[int, ...], wanted: tuple[int, ...]) -> None:
        contexts = torch.randn(stored).half()
        found = read_start(coop_file(tmp_path / "model.pth.tar-50", contexts), wanted)
        assert found.dtype == torch.float32
        assert torch.equal(found, contexts.float().reshape(wanted))

    @pytest.mark.parametrize("wanted", [(1, 16, 8), (4, 4, 8), (1, 4, 512), (3, 1, 4, 8)])
    def test_another_shape_names_the_keys(self, tmp_path: Path, wanted: tuple[int, ...]) -> None:
        with pytest.raises(UserError, match=r"prompt.init: .*tar-5 holds contexts of shape \(4, 8\), the setting has"):
            read_start(coop_file(tmp_path / "model.pth.tar-5", torch.randn(4, 8)), wanted)

    def test_what_holds_none(self, tmp_path: Path) -> None:
        torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "model.pth")
        with pytest.raises(UserError, match=r"prompt.init: .*model.pth holds no contexts"):
            read_start(tmp_path / "model.pth", (1, 4, 8))
        (tmp_path / "model.pt").write_text("no torch file")
        with pytest.raises(UserError, match=r"prompt.init: .*model.pt is neither learned contexts"):
            read_start(tmp_path / "model.pt", (1, 4, 8))

    def test_nothing_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"prompt.init: there is no file .*model.pth.tar-50"):
            read_start(tmp_path / "model.pth.tar-50", (1, 4, 8))

    def test_nothing_in_it_is_run(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path}/ran",)

        with pytest.raises(UserError, match="is neither learned contexts"):
            read_start(coop_file(tmp_path / "model.pth", torch.randn(4, 8), trap=Trap()), (1, 4, 8))
        assert not (tmp_path / "ran").exists()
