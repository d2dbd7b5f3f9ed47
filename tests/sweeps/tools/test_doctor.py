"""What `dualpt doctor` says of a machine's kernels."""

import pytest
import torch

from dualpt.core.errors import UserError
from dualpt.sweeps.tools.doctor import _kernels


def test_torch_s_kernels_are_named_with_the_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUALPT_GPU_KERNELS", raising=False)
    assert _kernels() == "torch's own; DUALPT_GPU_KERNELS=triton asks for the project's, which no GPU has run yet"


def test_kernels_that_do_not_serve_here_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _kernels().startswith("torch's own, although DUALPT_GPU_KERNELS=triton: ")


def test_other_kernels_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "cuda")
    with pytest.raises(UserError, match="'cuda' names no kernels"):
        _kernels()
