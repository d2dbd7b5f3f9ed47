"""How many workers fit, what one reserves, and that versions are compared; no Ray is started."""

import pytest

from dualpt.core.cell import Cell
from dualpt.core.config.setting import Setting
from dualpt.core.errors import UserError
from dualpt.search_spaces.sweep import Run
from dualpt.sweeps.workers import gpu_shares
from dualpt.sweeps.workers.gpu_shares import (
    CONTEXT_GIB,
    MOST_SHARING,
    Measured,
    heaviest_pack,
    settings_that_fit,
    share_of,
)
from dualpt.sweeps.workers.placement import Machines, room_for
from dualpt.sweeps.workers.versions import mismatch, versions_here

CPU2, GPU1 = {"CPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("there", "declared", "asked", "room"),
    [
        ([CPU2, CPU2], [], {"CPU": 1.0}, 4),
        ([CPU2, CPU2], [], {"CPU": 0.5}, 8),
        ([GPU1, GPU1], [], {"CPU": 1.0, "GPU": 0.25}, 8),
        ([GPU1, GPU1], [], {"CPU": 1.0, "GPU": 0.3333}, 6),
        ([GPU1, GPU1], [], {"CPU": 4.0, "GPU": 0.25}, 4),
        ([{"CPU": 0.0}], [(GPU1, 8)], {"CPU": 1.0, "GPU": 0.5}, 16),
    ],
)
def test_room_is_counted_machine_by_machine(there: list, declared: list, asked: dict, room: int) -> None:
    assert room_for(asked, Machines(there, declared)) == room


def test_what_never_fits_is_told_with_what_there_is() -> None:
    with pytest.raises(UserError, match=r"asks for 3 CPU, and no machine has that \(at most 2 CPU on one\)"):
        room_for({"CPU": 3.0}, Machines([CPU2, CPU2]))
    with pytest.raises(UserError, match=r"run\.gpus_per_trial: 0\.5 GPU asked for"):
        room_for({"CPU": 1.0, "GPU": 0.5}, Machines([CPU2]))
    with pytest.raises(UserError, match="none that the autoscaler could start"):
        room_for({"CPU": 1.0, "GPU": 0.5}, Machines([CPU2], [(CPU2, 4)]))
    with pytest.raises(UserError, match="2 GPU"):
        room_for({"CPU": 1.0, "GPU": 2.0}, Machines([GPU1, GPU1]))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SLURM_GPUS_ON_NODE": "4"}, r"Slurm gave this job GPUs \(SLURM_GPUS_ON_NODE=4\), and Ray sees none"),
        ({"SLURM_GPUS_PER_NODE": "a100:2"}, r"SLURM_GPUS_PER_NODE=a100:2"),
        ({"SLURM_GPUS_PER_NODE": "a100"}, r"SLURM_GPUS_PER_NODE=a100\)"),
        ({"SLURM_GPUS": "a100:0,h100:1"}, r"SLURM_GPUS=a100:0,h100:1"),
        ({"SLURM_GPUS_PER_TASK": "1"}, r"SLURM_GPUS_PER_TASK=1"),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0"}, r"Slurm gave .*CUDA_VISIBLE_DEVICES=0"),
        ({"PBS_NGPUS": "2"}, r"PBS gave this job GPUs \(PBS_NGPUS=2\)"),
        ({"LSB_JOBID": "7", "CUDA_VISIBLE_DEVICES": "2,3"}, r"LSF gave this job GPUs \(CUDA_VISIBLE_DEVICES=2,3\)"),
        ({"SGE_TASK_ID": "undefined", "CUDA_VISIBLE_DEVICES": "GPU-0a"}, r"Grid Engine gave this job GPUs"),
    ],
)
def test_gpus_of_a_batch_job_that_ray_does_not_see_are_not_passed_over(
    environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_shares, "machines", lambda: Machines([{"CPU": 8.0}]))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words):
        gpu_shares.trial_resources(Run(), None, [], lambda gpu: 1, print)  # type: ignore[arg-type]
    chosen = gpu_shares.trial_resources(Run(gpus_per_trial=0), None, [], lambda gpu: 1, print)  # type: ignore[arg-type]
    assert chosen == ({"CPU": 1.0}, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_GPUS_ON_NODE": "0"},
        {"SLURM_GPUS_PER_NODE": "a100:0"},
        {"PBS_NGPUS": "0", "PBS_JOBID": "7"},
        {"LSB_JOBID": "7", "CUDA_VISIBLE_DEVICES": "-1"},
        {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "NoDevFiles"},
        {"CUDA_VISIBLE_DEVICES": "0"},  # in a shell's profile, on a machine without GPUs
    ],
)
def test_a_job_without_gpus_trains_on_the_cpu(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_shares, "machines", lambda: Machines([{"CPU": 8.0}]))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert gpu_shares.trial_resources(Run(), None, [], lambda gpu: 1, print) == ({"CPU": 1.0}, 1)  # type: ignore[arg-type]


def test_gpu_shares_follow_from_measured_memory() -> None:
    quarter = Measured(peak_gib=20 - CONTEXT_GIB, total_gib=88)
    assert share_of(quarter, cpus_per_gpu=16, cpus_per_trial=1) == pytest.approx(0.25)
    assert share_of(quarter, cpus_per_gpu=2, cpus_per_trial=1) == 0.5, "CPU cores run out first"
    assert share_of(Measured(80, 80), 16, 1) == 1.0
    tiny = share_of(Measured(0.1, 80), cpus_per_gpu=64, cpus_per_trial=1)
    assert int(1 / tiny) == MOST_SHARING
    third = share_of(Measured(25 - CONTEXT_GIB, 88), 16, 1)
    assert 3 * third <= 1 < 3 * third + 0.001


def test_packs_of_candidates_follow_from_measured_memory() -> None:
    assert settings_that_fit(Measured(peak_gib=1.0, total_gib=80.0), wanted=16) == 16
    assert settings_that_fit(Measured(peak_gib=10.0, total_gib=80.0), wanted=16) == 7
    assert settings_that_fit(Measured(peak_gib=100.0, total_gib=80.0), wanted=16) == 1
    one, seven = (share_of(Measured(10.0, 80.0), 16, 1, settings) for settings in (1, 7))
    assert one < 0.2
    assert seven == 1


def test_the_heaviest_pack_has_most_classes_then_most_tokens() -> None:
    plain, wide = Setting(), Setting().with_values({"prompt.n_prompts": 4})
    cells = [Cell(s, d, "few-shot", 4, seed) for s in (plain, wide) for d in ("EuroSAT", "SUN397") for seed in (1, 2)]
    cells.append(Cell(plain.with_values({"method": "zero-shot"}), "ImageNet", "few-shot", 0, 0))
    pack = heaviest_pack(cells)
    assert [(cell.setting, cell.dataset, cell.seed) for cell in pack] == [(wide, "SUN397", 1), (wide, "SUN397", 2)]


def test_versions_that_differ_are_both_named() -> None:
    here = versions_here()
    assert mismatch(here, dict(here), "worker-7") is None
    line = mismatch(here, {**here, "torch": "1.0.0", "numerics": "0"}, "worker-7")
    assert line is not None
    assert "worker-7" in line
    assert f"torch 1.0.0 there and {here['torch']} here" in line
    assert f"numerics 0 there and {here['numerics']} here" in line
