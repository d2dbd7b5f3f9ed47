"""What `dualpt doctor` says of a machine, and of its kernels."""

import io

import pytest
import torch
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.sweeps.tools.doctor import _kernels, examine


def test_kernels_that_are_turned_off_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "torch")
    assert _kernels() == "torch's own, as DUALPT_GPU_KERNELS=torch says"


@pytest.mark.parametrize("asked", ["", "triton"])
def test_kernels_that_do_not_serve_here_are_explained(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("DUALPT_GPU_KERNELS", asked)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _kernels().startswith("torch's own; the project's can't be used: ")


def test_other_kernels_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "cuda")
    with pytest.raises(UserError, match="'cuda' names no kernels"):
        _kernels()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_word_is_broken(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    folder = "/" + "/".join(["folder-of-a-laboratory"] * 4)
    for name in ("_packages", "_ray", "_device", "_kernels", "_training_step"):
        monkeypatch.setattr(f"dualpt.sweeps.tools.doctor.{name}", lambda: "torch 2.14.1, transformers 5.23.0, " * 4)
    monkeypatch.setattr("dualpt.sweeps.tools.doctor._cache", lambda: f"{folder} (56 GiB free; DUALPT_CACHE moves it)")

    def fault() -> str:
        raise UserError(f"{folder} cannot be written")

    monkeypatch.setattr("dualpt.sweeps.tools.doctor._working_folder", fault)
    text = io.StringIO()
    assert examine(Console(file=text, width=width)) == 2
    lines = text.getvalue().splitlines()
    assert max(len(line) for line in lines if folder not in line) <= width
    assert text.getvalue().split().count(folder) == 2
    assert text.getvalue().split().count("transformers") == 20
    assert all(line.startswith(("ok", "fault", "   ")) or line == folder for line in lines)
