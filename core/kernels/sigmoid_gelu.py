"""x sigmoid(1.702 x), the approximation of GELU that OpenAI's CLIP was trained with, in one kernel each way.

torch multiplies, applies SiLU and divides, each with a pass over memory, and as many backward. Here each number is
calculated in float32 and rounded once. Where the count is a multiple of 16, as a tower's is, Triton compiles 16-byte
accesses.
"""

# Kernels are Triton's language, in which types of arguments are not written.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from typing import Any, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
"""Numbers that a program of four warps handles."""


def sigmoid_gelu(x: Tensor) -> Tensor:
    """Of any shape and floating-point format; differentiable."""
    return cast(Tensor, _SigmoidGelu.apply(x))


class _SigmoidGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        out = torch.empty_like(x)
        _gelu_forward[_programs(x)](x, out, x.numel(), BLOCK, num_warps=4)
        ctx.save_for_backward(x)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        d_x = torch.empty_like(x)
        _gelu_backward[_programs(x)](x, gradients[0].contiguous(), d_x, x.numel(), BLOCK, num_warps=4)
        return d_x


def _programs(x: Tensor) -> tuple[int]:
    return (triton.cdiv(x.numel(), BLOCK),)


@triton.jit
def _gelu_forward(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n, other=0).to(tl.float32)
    tl.store(out + at, value / (1 + tl.exp(-1.702 * value)), mask=at < n)


@triton.jit
def _gelu_backward(x, d_out, d_x, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n, other=0).to(tl.float32)
    gate = 1 / (1 + tl.exp(-1.702 * value))
    slope = gate * (1 + 1.702 * value * (1 - gate))
    tl.store(d_x + at, tl.load(d_out + at, mask=at < n, other=0).to(tl.float32) * slope, mask=at < n)
