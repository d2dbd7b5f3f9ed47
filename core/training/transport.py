"""Entropic optimal transport between a class's prompts and image patches (or descriptions).

The cost is `1 - similarity`. Rows (the N prompts) carry equal mass, exactly. Columns (P patches or K descriptions)
carry equal mass exactly, or, relaxed, pay `relaxation * KL(column mass || uniform)`, so columns which resemble no
prompt may be left out: unbalanced transport as in Dude (arXiv 2407.04489). The relaxed side's update is the ordinary
one raised to relaxation / (relaxation + epsilon) (Chizat et al., arXiv 1607.05816).

A fixed number of iterations, unlike PLOT's stop rule, whose error is averaged over the batch: here an image's plan
depends on that image alone. No gradient flows through a plan, as in PLOT (arXiv 2210.01253).
"""

import math

import torch
from torch import Tensor

from dualpt.core.kernels.kernel_choice import kernels_serve

SAFE_EPSILON = 0.05
"""From here on exp(-cost / epsilon) >= e^-40 for any two unit vectors, far from float32's smallest number, so that
iterating on the kernel itself is exact and several times faster than on logarithms."""


@torch.no_grad()
def transport_plan(
    similarity: Tensor,
    *,
    epsilon: float,
    iterations: int,
    relaxation: float | None = None,
    column_mask: Tensor | None = None,
) -> Tensor:
    """The transport plan after `iterations` Sinkhorn sweeps.

    Args:
        similarity: Cosines (..., N, P).
        epsilon: Weight of the entropy.
        iterations: Sweeps; each ends with the rows, whose marginal therefore always holds.
        relaxation: Weight of the KL divergence of the column mass from uniform; None enforces uniform columns.
        column_mask: Columns that exist (..., P), bool, broadcast to `similarity`; the others receive no mass.

    Returns:
        The plan (..., N, P), of total mass 1, in float32 or wider; it carries no gradient.
    """
    similarity = similarity.to(torch.promote_types(similarity.dtype, torch.float32))
    *batch, n_rows, n_columns = similarity.shape
    exponent = 1.0 if relaxation is None else relaxation / (relaxation + epsilon)
    sweeps = 1 if n_rows == 1 else iterations  # with one row, the first sweep already is the limit
    if column_mask is None and epsilon >= SAFE_EPSILON and _on_chip(similarity):
        from dualpt.core.kernels.sinkhorn import scaled_kernel

        return scaled_kernel(similarity, epsilon=epsilon, exponent=exponent, sweeps=sweeps)
    if column_mask is None:
        column_mask = torch.ones(n_columns, dtype=torch.bool, device=similarity.device)
    column_mass = (column_mask / column_mask.sum(-1, keepdim=True)).to(similarity.dtype)
    column_mass = _batch_last(column_mass.unsqueeze(-2).expand(*batch, 1, n_columns))
    log_kernel = _batch_last((similarity - 1) / epsilon)
    scale = _scale_kernel if epsilon >= SAFE_EPSILON else _scale_log_kernel
    return scale(log_kernel, column_mass, exponent, sweeps).movedim((0, 1), (-2, -1))


def _on_chip(similarity: Tensor) -> bool:
    """Whether a kernel of the project's holds each plan on the chip."""
    if similarity.dtype != torch.float32 or not kernels_serve(similarity.device):
        return False
    from dualpt.core.kernels.sinkhorn import fits

    return fits(*similarity.shape[-2:])


def _batch_last(x: Tensor) -> Tensor:
    """(..., N, P) -> (N, P, ...), contiguous: sums over the short N and P then run along the long batch."""
    return x.movedim((-2, -1), (0, 1)).contiguous()


def _scale_kernel(log_kernel: Tensor, column_mass: Tensor, exponent: float, sweeps: int) -> Tensor:
    """u * kernel * v with u (N, 1, ...) and v (1, P, ...), from u = 1 by `sweeps` of Sinkhorn's iteration."""
    kernel = log_kernel.exp()
    row_mass = 1 / len(kernel)
    u = torch.ones_like(kernel[:, :1])
    for _ in range(sweeps):
        v = column_mass / (u * kernel).sum(0, keepdim=True)
        if exponent != 1:
            v = v.pow_(exponent)
        u = row_mass / (kernel * v).sum(1, keepdim=True)
    return u * kernel * v


def _scale_log_kernel(log_kernel: Tensor, column_mass: Tensor, exponent: float, sweeps: int) -> Tensor:
    """The same on logarithms, f = log u and g = log v: finite for every epsilon."""
    log_column_mass, log_row_mass = column_mass.log(), -math.log(len(log_kernel))
    f = torch.zeros_like(log_kernel[:, :1])
    for _ in range(sweeps):
        g = exponent * (log_column_mass - (log_kernel + f).logsumexp(0, keepdim=True))
        f = log_row_mass - (log_kernel + g).logsumexp(1, keepdim=True)
    return (log_kernel + f + g).exp()


def plan_entropy(plan: Tensor) -> Tensor:
    """Entropy of each plan, relative to the uniform plan's log(N * P): (..., N, P) -> (...).

    1 says that transport chose nothing.
    """
    cells = plan.shape[-2] * plan.shape[-1]
    entropy = torch.special.entr(plan).sum((-2, -1))
    return entropy / math.log(cells) if cells > 1 else torch.ones_like(entropy)
