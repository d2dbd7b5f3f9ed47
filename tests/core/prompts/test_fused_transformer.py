"""The fused transformer against the plain one in float64, in Triton's interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.version import Version

from dualpt.core.prompts.encoder import PromptEncoder
from dualpt.core.training.transport import transport_plan
from tests.core.text_side import text_tower_of

triton = pytest.importorskip("triton", minversion="3.6", reason="Triton comes with recent torch on Linux")

interpreter = pytest.mark.slow  # a process that imports torch, for all of these together
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: kernels cannot be run here")

REPOSITORY = Path(__file__).resolve().parents[3]
FLOAT32 = 5e-6
"""Relative distance from float64 that rounding explains."""


@pytest.fixture(scope="module")
def interpreted():
    if Version(triton.__version__) < Version("3.7") and Version(np.__version__) >= Version("2.4"):
        pytest.skip(
            "the interpreter of Triton 3.6 runs no loop to a bound that is an argument with NumPy 2.4 and newer"
        )
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"TRITON_INTERPRET": "1", "DUALPT_GPU_KERNELS": "triton", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "tests.core.prompts.interpreted"]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) | {"said": ended.stderr}


@interpreter
@pytest.mark.parametrize("case", ["one name", "end", "middle", "front"])
def test_features_and_gradients_equal_those_of_the_plain_path(interpreted, case):
    found = interpreted["cases"][case]
    assert found["features"] < FLOAT32
    assert found["gradient"] < FLOAT32


@interpreter
def test_the_cases_have_what_the_kernels_handle(interpreted):
    cases = interpreted["cases"]
    assert cases["one name"]["groups"] == 1
    assert cases["end"]["groups"] > 1
    assert cases["end"]["trunk"] > 0
    assert cases["front"]["frozen"] > 1


@interpreter
def test_the_same_inputs_give_the_same_bits(interpreted):
    assert interpreted["cases"]["end"]["same bits"]


@interpreter
def test_a_group_of_more_keys_than_a_kernel_holds_is_encoded_by_torch(interpreted):
    assert interpreted["chosen"] == ["FusedTrieTransformer", "TrieTransformer"]
    assert "the project's GPU kernels are not used, torch's are" in interpreted["said"]
    assert "keys in a group, of which a kernel holds 4" in interpreted["said"]


@interpreter
def test_a_residual_sum_and_its_norm_equal_torch_s(interpreted):
    assert all(distance < FLOAT32 for distance in interpreted["norm"])


@interpreter
def test_openai_s_gelu_and_its_slope_equal_autograd_s(interpreted):
    assert all(distance < FLOAT32 for distance in interpreted["gelu"])


@interpreter
@pytest.mark.parametrize("case", ["permuted", "one row", "relaxed"])
def test_plans_equal_those_of_torch_s_operations(interpreted, case):
    assert interpreted["plans"][case] < FLOAT32


@on_gpu
@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_on_a_gpu_half_precision_is_as_near_to_float64_as_with_torch_s_kernels(
    make_clip, tokenizer, name_tokens, monkeypatch, position, dtype, quick_gelu
):
    def gradient(kernels, dtype, device):
        monkeypatch.setenv("DUALPT_GPU_KERNELS", kernels)
        tower = text_tower_of(make_clip(quick_gelu=quick_gelu).to(rounded).to(device, dtype), tokenizer)
        encoder = PromptEncoder(tower, name_tokens, context_length=4, class_token_position=position)
        contexts = contexts_of(torch.float64 if dtype == torch.float64 else torch.float32).to(device).requires_grad_()
        features = encoder.encode(contexts)
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        (found,) = torch.autograd.grad((features * weights.to(features)).sum(), contexts)
        return found.double().cpu()

    rounded = dtype
    exact = gradient("torch", torch.float64, "cpu")
    torchs, again, ours, ours_again = (gradient(one, dtype, "cuda") for one in ("torch", "torch", "auto", "auto"))
    assert not torch.equal(ours, torchs)  # which kernels ran
    assert (ours - exact).norm() < 1.2 * (torchs - exact).norm()
    assert torch.equal(torchs, again)
    assert torch.equal(ours, ours_again)


@on_gpu
@pytest.mark.parametrize("shape", [(3, 32, 40, 4, 196), (1, 5, 7, 1, 49), (2, 3, 2, 16, 300)])
@pytest.mark.parametrize("relaxation", [None, 0.3])
def test_on_a_gpu_plans_are_as_near_to_float64_as_torch_s(monkeypatch, shape, relaxation):
    cosines = torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3
    options = {"epsilon": 0.1, "iterations": 20, "relaxation": relaxation}
    exact = transport_plan(cosines, **options)
    for kernels in ("torch", "auto"):
        monkeypatch.setenv("DUALPT_GPU_KERNELS", kernels)
        plan = transport_plan(cosines.float().cuda(), **options).double().cpu()
        assert (plan - exact).norm() < 2e-5 * exact.norm()


def contexts_of(dtype):
    return 0.3 * torch.randn(2, 3, 4, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
