"""Sinkhorn's iteration on the chip: the kernel matrix of a plan is read once, and the plan is written once.

torch passes over memory four times in every sweep. Here a few warps hold the matrix of one plan in registers.

Shapes: N rows (prompts), P columns (patches).
"""

# Kernels are Triton's language, in which types of arguments are not written.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_CELLS = 8192
"""Of a plan, padded: a program holds all of them in registers."""
CELLS_OF_A_WARP = 1024


def fits(n_rows: int, n_columns: int) -> bool:
    """Whether a program holds a plan of this size."""
    return _padded(n_rows) * _padded(n_columns) <= MOST_CELLS


def warps_of(n_rows: int, n_columns: int) -> int:
    """Of a program that holds a plan of this size."""
    return max(1, min(8, _padded(n_rows) * _padded(n_columns) // CELLS_OF_A_WARP))


def scaled_kernel(similarity: Tensor, *, epsilon: float, exponent: float, sweeps: int) -> Tensor:
    """u K v with K = exp((similarity - 1) / epsilon), from u = 1 by sweeps that end with the rows.

    Args:
        similarity: Cosines (..., N, P), float32, that fit.
        epsilon: Weight of the entropy, so large that K is no denormal number.
        exponent: Of the columns' update; 1 enforces equal column masses (see `dualpt.core.training.transport`).
        sweeps: Of the iteration, at least 1.

    Returns:
        Plans (..., N, P), in memory as `similarity` is where that has at most three leading dimensions.
    """
    *batch, n_rows, n_columns = similarity.shape
    flat = similarity if len(batch) == 3 else similarity.reshape(1, 1, -1, n_rows, n_columns)
    plan = torch.empty_like(flat)
    _sinkhorn[(flat[..., 0, 0].numel(),)](
        *(flat, plan, *flat.stride(), *plan.stride(), flat.shape[1], flat.shape[2], n_rows, n_columns),
        *(1 / epsilon, exponent, sweeps, _padded(n_rows), _padded(n_columns), exponent != 1),
        num_warps=warps_of(n_rows, n_columns),
    )
    return plan.view(similarity.shape)


def _padded(size: int) -> int:
    return int(triton.next_power_of_2(size))


@triton.jit(do_not_specialize=["B1", "B2", "N", "P", "inverse", "exponent", "sweeps"])
def _sinkhorn(
    similarity, plan, s0, s1, s2, sn, sp, t0, t1, t2, tn, tp, B1, B2, N, P, inverse, exponent, sweeps,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RELAXED: tl.constexpr,
):  # fmt: skip
    """A program per plan."""
    number = tl.program_id(0).to(tl.int64)
    b0, b1, b2 = number // (B1 * B2), number // B2 % B1, number % B2
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    inside = (i < N) & (j < P)
    read = similarity + b0 * s0 + b1 * s1 + b2 * s2 + i * sn + j * sp
    kernel = tl.where(inside, tl.exp((tl.load(read, mask=inside, other=0) - 1) * inverse), 0)
    u = tl.where(i < N, 1.0, 0.0)
    v = tl.zeros((1, COLUMNS), tl.float32)
    for _ in range(sweeps):
        v = tl.where(j < P, 1 / (P * tl.sum(u * kernel, 0)[None, :]), 0)
        if RELAXED:
            v = tl.where(j < P, tl.exp(exponent * tl.log(v)), 0)
        u = tl.where(i < N, 1 / (N * tl.sum(kernel * v, 1)[:, None]), 0)
    tl.store(plan + b0 * t0 + b1 * t1 + b2 * t2 + i * tn + j * tp, u * kernel * v, mask=inside)
