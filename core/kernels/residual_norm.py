"""A residual sum and the layer norm of it, in one kernel each way.

torch adds, casts to float32, normalises and casts back, each with a pass over memory; backward as many times again.
The norm's weights are frozen, so only rows have a gradient, and nothing is summed across them.

Shapes: n rows, W width.
"""

# Kernels are Triton's language, in which types of arguments are not written.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from typing import Any, cast

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

ROWS = 4
"""That a program of four warps handles."""


def add_and_norm(x: Tensor, added: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """x + added, and LayerNorm(x + added), whose sums run in float32; both of the shape (..., W) of the inputs.

    The sum is rounded to the inputs' format before it is normalised, as torch's operations do.
    """
    return cast(tuple[Tensor, Tensor], _AddAndNorm.apply(x, added, norm.weight.detach(), norm.bias.detach(), norm.eps))


class _AddAndNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, added: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        x, added = x.contiguous(), added.contiguous()
        total, normed = torch.empty_like(x), torch.empty_like(x)
        _launch(_norm_forward, x, added, weight, bias, total, normed, eps)
        ctx.save_for_backward(total, weight)
        ctx.eps = eps
        return total, normed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        total, weight = ctx.saved_tensors
        d_total, d_normed = (gradient.contiguous() for gradient in gradients)
        d_x = torch.empty_like(total)
        _launch(_norm_backward, total, d_total, d_normed, weight, d_x, ctx.eps)
        return d_x, d_x, None, None, None


def _launch(kernel: Any, x: Tensor, *arguments: Any) -> None:
    """Run a kernel on the rows of `x`, its first argument."""
    width = x.shape[-1]
    n = x.numel() // width
    kernel[(triton.cdiv(n, ROWS),)](x, *arguments, n, width, triton.next_power_of_2(width), ROWS, num_warps=4)


@triton.jit(do_not_specialize=["n"])
def _norm_forward(
    x, added, weight, bias, total, normed, eps, n, W: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    at, column, inside = _places(n, W, BLOCK, ROWS)
    left = tl.load(x + at, mask=inside, other=0).to(tl.float32)
    value = (left + tl.load(added + at, mask=inside, other=0).to(tl.float32)).to(total.dtype.element_ty)
    tl.store(total + at, value, mask=inside)
    scaled, _ = _scaled(value.to(tl.float32), inside, eps, W)
    gain = tl.load(weight + column, mask=column < W, other=0).to(tl.float32)
    shift = tl.load(bias + column, mask=column < W, other=0).to(tl.float32)
    tl.store(normed + at, scaled * gain[None, :] + shift[None, :], mask=inside)


@triton.jit(do_not_specialize=["n"])
def _norm_backward(
    total, d_total, d_normed, weight, d_x, eps, n, W: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    at, column, inside = _places(n, W, BLOCK, ROWS)
    scaled, scale = _scaled(tl.load(total + at, mask=inside, other=0).to(tl.float32), inside, eps, W)
    gain = tl.load(weight + column, mask=column < W, other=0).to(tl.float32)
    through = tl.load(d_normed + at, mask=inside, other=0).to(tl.float32) * gain[None, :]
    along = tl.sum(through * scaled, 1)[:, None] / W
    slope = scale * (through - tl.sum(through, 1)[:, None] / W - scaled * along)
    tl.store(d_x + at, slope + tl.load(d_total + at, mask=inside, other=0).to(tl.float32), mask=inside)


@triton.jit
def _places(n, W: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """Of a program's elements (ROWS, BLOCK) in memory, their columns, and which of them there are."""
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, BLOCK)
    return row.to(tl.int64)[:, None] * W + column[None, :], column, (row < n)[:, None] & (column < W)[None, :]


@triton.jit
def _scaled(value, inside, eps, W: tl.constexpr):
    """Rows with mean 0 and variance 1, and by what they were multiplied."""
    centred = tl.where(inside, value - tl.sum(value, 1)[:, None] / W, 0)
    scale = tl.rsqrt(tl.sum(centred * centred, 1)[:, None] / W + eps)
    return centred * scale, scale
