"""Whether the project's kernels run: on GPUs that they were made for, in half precision, unless told otherwise."""

import logging

import pytest
import torch

from dualpt.core.errors import UserError
from dualpt.core.kernels import kernel_choice
from dualpt.core.prompts.parts import PromptParts
from dualpt.core.prompts.trie_transformer import TrieTransformer
from dualpt.core.running.cell_runner import CellRunner
from tests.core.text_side import text_tower_of

CUDA = torch.device("cuda")
PROMPTS = [[49406, 49408, 49409, 320, 49407], [49406, 49408, 49409, 2368, 49407]]


@pytest.fixture
def tower(make_clip, tokenizer):
    return text_tower_of(make_clip(), tokenizer)


def kernels(tower):
    return [type(part) for part in PromptParts(tower, PROMPTS)._parts]


def test_on_a_cpu_torch_s_kernels_are_used_and_nothing_is_said(tower, monkeypatch, caplog):
    monkeypatch.delenv("DUALPT_GPU_KERNELS", raising=False)
    assert kernels(tower) == [TrieTransformer]
    assert not caplog.records


def test_where_they_are_asked_for_in_vain_one_line_says_why(tower, monkeypatch, caplog):
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "triton")
    kernel_choice.say.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert kernels(tower) == kernels(tower) == [TrieTransformer]
    (line,) = caplog.messages
    assert line == (
        "the project's GPU kernels are not used, torch's are (DUALPT_GPU_KERNELS=torch asks for them): "
        "they need a CUDA device, and this is cpu"
    )


def test_without_triton_torch_s_kernels_stay(monkeypatch):
    monkeypatch.setattr(kernel_choice, "find_spec", lambda name: None)
    assert kernel_choice.unavailable(CUDA) == "triton is not installed"


@pytest.mark.parametrize(
    ("asked", "dtype", "serve"),
    [
        ("auto", torch.bfloat16, True),
        ("auto", torch.float16, True),
        ("auto", torch.float32, False),
        ("auto", None, True),
        ("triton", torch.float32, True),
        ("torch", torch.bfloat16, False),
    ],
)
def test_a_gpu_uses_them_for_half_precision(monkeypatch, asked, dtype, serve):
    monkeypatch.setenv("DUALPT_GPU_KERNELS", asked)
    monkeypatch.setattr(kernel_choice, "unavailable", lambda device: "")
    assert kernel_choice.kernels_serve(CUDA, dtype) is serve


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (
            "auto",
            "the device has compute capability 8.0, and they are measured from 9.0 on; "
            "DUALPT_GPU_KERNELS=triton tries them",
        ),
        ("triton", ""),
    ],
)
def test_on_an_older_gpu_they_are_to_be_asked_for(monkeypatch, asked, reason):
    pytest.importorskip("triton", reason="Triton comes with torch on Linux")
    monkeypatch.setenv("DUALPT_GPU_KERNELS", asked)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(kernel_choice, "_trial", lambda device: "")
    assert kernel_choice.unavailable(CUDA) == reason


def test_where_triton_compiles_nothing_its_first_line_is_said():
    pytest.importorskip("triton", reason="Triton comes with torch on Linux")
    assert kernel_choice._trial(torch.device("cpu")).startswith("Triton compiles nothing here: ")


def test_other_kernels_are_refused_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "tritn")
    with pytest.raises(UserError, match="'tritn' names no kernels; unset it, or set it to torch or triton"):
        CellRunner(cache=tmp_path)
