"""What `dualpt doctor` says of a machine, and of its kernels."""

import io

import pytest
import torch
from rich.console import Console

from dualpt.core.errors import UserError
from dualpt.sweeps import ray_private
from dualpt.sweeps.tools.doctor import _gpus_in_ray, _kernels, examine


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


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("counted", [0, 1, 3])
def test_gpus_that_ray_would_count_otherwise_are_a_fault(
    monkeypatch: pytest.MonkeyPatch, two_gpus: None, counted: int
) -> None:
    monkeypatch.setattr(ray_private, "gpus_counted", lambda: counted)
    with pytest.raises(UserError) as refused:
        _gpus_in_ray()
    assert str(refused.value) == (
        f"torch sees 2 and Ray would count {counted}, so workers would get the wrong ones or none; start Ray first "
        "(`ray start --head --num-gpus=2`) and set RAY_ADDRESS=auto"
    )


def test_gpus_that_ray_would_count_too_are_fine(monkeypatch: pytest.MonkeyPatch, two_gpus: None) -> None:
    monkeypatch.setattr(ray_private, "gpus_counted", lambda: 2)
    assert _gpus_in_ray() == "2, as torch sees"


def test_a_cluster_counts_its_own_gpus(monkeypatch: pytest.MonkeyPatch, two_gpus: None) -> None:
    monkeypatch.setattr(ray_private, "gpus_counted", lambda: 0)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert _gpus_in_ray() == "the cluster at RAY_ADDRESS has counted its own; `ray status` lists them"


def test_without_a_gpu_ray_is_not_asked(monkeypatch: pytest.MonkeyPatch, two_gpus: None) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(ray_private, "gpus_counted", lambda: 1)
    assert _gpus_in_ray() == "none, as torch sees none"


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_word_is_broken(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    folder = "/" + "/".join(["folder-of-a-laboratory"] * 4)
    for name in ("_packages", "_ray", "_device", "_gpus_in_ray", "_kernels", "_training_step"):
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
    assert text.getvalue().split().count("transformers") == 24
    assert all(line.startswith(("ok", "fault", "   ")) or line == folder for line in lines)
