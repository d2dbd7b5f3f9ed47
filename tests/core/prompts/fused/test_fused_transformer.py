"""The fused transformer against the plain one in float64, in Triton's interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dualpt.core.prompts.encoder import PromptEncoder
from tests.core.text_side import text_tower_of

pytest.importorskip("triton", minversion="3.6", reason="Triton comes with recent torch on Linux")

interpreter = pytest.mark.slow  # a process that imports torch, for all of these together
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: kernels cannot be run here")

REPOSITORY = Path(__file__).resolve().parents[4]
FLOAT32 = 5e-6
"""Relative distance from float64 that rounding explains."""


@pytest.fixture(scope="module")
def interpreted():
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"TRITON_INTERPRET": "1", "DUALPT_GPU_KERNELS": "triton", "PYTHONPATH": paths}
    command = [sys.executable, "-m", "tests.core.prompts.fused.interpreted"]
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
    assert "prompts are encoded with torch's own kernels:" in interpreted["said"]
    assert "keys in a group, of which a kernel holds 4" in interpreted["said"]


@interpreter
def test_a_residual_sum_and_its_norm_equal_torch_s(interpreted):
    assert all(distance < FLOAT32 for distance in interpreted["norm"])


@on_gpu
@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_on_a_gpu_half_precision_is_as_near_to_float64_as_with_torch_s_kernels(
    make_clip, tokenizer, name_tokens, monkeypatch, position
):
    def gradient(kernels, dtype, device):
        monkeypatch.setenv("DUALPT_GPU_KERNELS", kernels)
        tower = text_tower_of(make_clip().bfloat16().to(device, dtype), tokenizer)
        encoder = PromptEncoder(tower, name_tokens, context_length=4, class_token_position=position)
        contexts = contexts_of(torch.float64 if dtype == torch.float64 else torch.float32).to(device).requires_grad_()
        features = encoder.encode(contexts)
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        (found,) = torch.autograd.grad((features * weights.to(features)).sum(), contexts)
        return found.double().cpu()

    exact = gradient("torch", torch.float64, "cpu")
    torchs, ours, again = (gradient(one, torch.bfloat16, "cuda") for one in ("torch", "triton", "triton"))
    assert (ours - exact).norm() < 1.2 * (torchs - exact).norm()
    assert torch.equal(ours, again)


def contexts_of(dtype):
    return 0.3 * torch.randn(2, 3, 4, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
