"""Which kernels encode prompts: torch's, unless others are asked for."""

import logging

import pytest

from dualpt.core.errors import UserError
from dualpt.core.prompts.fused import kernel_choice
from dualpt.core.prompts.parts import PromptParts
from dualpt.core.prompts.trie_transformer import TrieTransformer
from dualpt.core.running.cell_runner import CellRunner
from tests.core.text_side import text_tower_of

PROMPTS = [[49406, 49408, 49409, 320, 49407], [49406, 49408, 49409, 2368, 49407]]


@pytest.fixture
def tower(make_clip, tokenizer):
    return text_tower_of(make_clip(), tokenizer)


def kernels(tower):
    return [type(part) for part in PromptParts(tower, PROMPTS)._parts]


def test_torch_s_kernels_are_used_and_nothing_is_said(tower, monkeypatch, caplog):
    monkeypatch.delenv("DUALPT_GPU_KERNELS", raising=False)
    assert kernels(tower) == [TrieTransformer]
    assert not caplog.records


def test_on_a_cpu_torch_s_kernels_stay_and_one_line_says_why(tower, monkeypatch, caplog):
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "triton")
    kernel_choice._say.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert kernels(tower) == kernels(tower) == [TrieTransformer]
    (line,) = caplog.messages
    assert "torch's own kernels: they need a CUDA device, and this is cpu" in line


def test_without_triton_torch_s_kernels_stay(monkeypatch):
    monkeypatch.setattr(kernel_choice, "find_spec", lambda name: None)
    assert kernel_choice.unavailable("cuda") == "triton is not installed"


def test_other_kernels_are_refused_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("DUALPT_GPU_KERNELS", "tritn")
    with pytest.raises(UserError, match="DUALPT_GPU_KERNELS: 'tritn' names no kernels; unset it"):
        CellRunner(cache=tmp_path)
