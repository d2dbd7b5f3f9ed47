"""The tables of `benchmarks.gpu`, on a small CLIP and short class lists, timed by a clock of the test's own."""

import re
from functools import partial

import pytest
import torch

from benchmarks.class_shapes import real_class_shapes
from benchmarks.gpu import steps
from benchmarks.gpu.steps import Case, GpuBench
from benchmarks.gpu.stopwatch import Timer
from dualpt.core.clip.backbone import load_backbone
from tests.benchmarks.gpu.test_stopwatch import Takes


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("mini-clip", "random", "fp32", torch.device("cpu"))


def bench(backbone, stopwatch, datasets=("EuroSAT",), size=64):
    lists = {name: real_class_shapes()[name][:3] for name in datasets}
    return GpuBench(backbone, lists, partial(Timer, repeats=1, warm_up=0, rounds=1, stopwatch=stopwatch, size=size))


def test_a_step_s_share_is_of_the_operations_counted(backbone, monkeypatch, capsys):
    monkeypatch.setattr(steps, "STEPS", (Case("EuroSAT", 1), Case("EuroSAT", 2, 2, "ot"), Case("ImageNet", 1)))
    timed = bench(backbone, Takes(1e-3), size=2048)
    timed.print_steps()
    _, _, one, four, note = capsys.readouterr().out.strip().splitlines()
    flops, share = re.search(r"\| none \| none \| ([\d.e+]+) \| (\d+)% \| not measured \| none \|", one).groups()
    assert share == f"{100 * float(flops) / (2 * 2048**3):.0f}"
    assert float(re.search(r"\| ([\d.e+]+) \| \d+% \|", four)[1]) == pytest.approx(4 * float(flops), rel=0.01)
    assert "`ot`" in four
    assert note.startswith("FLOPs are those of the text encoder")


def test_an_impossible_share_ends_the_run(monkeypatch):
    monkeypatch.setattr(steps, "STEPS", (Case("EuroSAT", 1),))
    monkeypatch.setattr(steps.Timer, "rate_flops", 1)
    with pytest.raises(SystemExit, match=r"benchmarks.gpu: .*% of the measured rate"):
        steps.main(["--device", "cpu", "--quick", "--precision", "fp32"])


def test_coop_s_own_step_runs_beside_ours_on_every_list(backbone, capsys):
    bench(backbone, Takes(1.0), ("EuroSAT", "ImageNet")).print_against_coop()
    rows = capsys.readouterr().out.strip().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["EuroSAT", "ImageNet"]
    assert all(row.endswith("| 1.0 × |") for row in rows)


def test_gradients_are_compared_with_those_in_float32(monkeypatch, capsys):
    monkeypatch.setattr(steps, "GRADIENTS", (Case("EuroSAT", 2),))
    bench(load_backbone("mini-clip", "random", "bf16", torch.device("cpu")), Takes(1.0)).print_gradients()
    distance, same = re.search(r"\| ([\d.e-]+) \| (yes|NO) \|", capsys.readouterr().out).groups()
    assert 1e-5 < float(distance) < 0.1
    assert same == "yes"


def test_the_grid_is_estimated_from_every_dataset(backbone, capsys):
    bench(backbone, Takes(60.0), ("EuroSAT", "ImageNet")).print_grid()
    title, times, left_out = capsys.readouterr().out.splitlines()
    assert title.startswith("165-cell grid")
    training, encoding = (float(minutes) for minutes in re.findall(r"([\d.]+) min", times))
    # three classes: one step an epoch at all shots but 16, ImageNet for 50 epochs at each
    assert training == (50 + 100 + 100 + 200 + 200) + 5 * 50
    assert encoding == pytest.approx((8100 + 50_000 + 2 * 3 * 16 * 3) / 32, abs=0.1)
    assert "--cells" in left_out


def test_kernels_are_asked_for_while_prompts_are_made_and_no_longer(monkeypatch):
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "triton")
    with steps.kernels("torch"):
        assert steps.os.environ["DUALPT_GPU_KERNELS"] == "torch"
    assert steps.os.environ["DUALPT_GPU_KERNELS"] == "triton"
