"""Attention under a trie's mask that reads queries, keys and values where a product left them.

torch's attention needs the keys of each group in one tensor: the trunk's are copied once per group, frozen ones once
per context, and all once more to part their heads. Here a program handles one head of one group, gathers the group's
keys on the chip, and stores gradients where the products read them. Sums run in a fixed order, without atomic
additions: the same inputs give the same bits.

Shapes: M contexts, G groups of T live tokens, P trunk tokens (the first of group 0), F frozen tokens of a group,
K = P + F + T keys, t queries in a group, H heads of width d, W = H d.
"""

# Kernels are Triton's language, in which types of arguments are not written.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from typing import Any, NamedTuple, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_KEYS = 128
"""Of a group: a program holds all of them in registers."""
QUERIES = 32
"""That a program handles at once."""
SUMMED, COLUMNS = 16, 64
"""Groups that are read at once where their shares are summed, and columns of a program that does it."""


class Layout(NamedTuple):
    """What all layers share: where tokens stand, and who attends to whom."""

    groups: int
    length: int
    """T"""
    trunk: int
    """P"""
    heads: int


def attend_in_place(query: Tensor, own: Tensor, frozen: Tensor, attends: Tensor, layout: Layout) -> Tensor:
    """softmax(query key^T / sqrt(d)) value over the keys that each query attends to.

    Args:
        query: (M, G * t, W) or, with keys and values behind each query, (M, G * T, 3 W).
        own: Keys and values (M, G * T, 2 W) of live tokens; not read where they are behind the queries.
        frozen: Those of frozen tokens (2, G, H, F, d).
        attends: (G, t, K) int8, not 0 where a query attends to a trunk, frozen or live token; every row has one.
        layout: The rest.

    Returns:
        (M, G * t, W), as `TrieTransformer` attends, and with its gradient to `query` and `own`.
    """
    return cast(Tensor, _TrieAttention.apply(query, own, frozen, attends, layout))


class _TrieAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, own: Tensor, frozen: Tensor, attends: Tensor, layout: Layout) -> Tensor:
        query, own = query.contiguous(), own.contiguous()
        width = layout.heads * frozen.shape[-1]
        out = query.new_empty(*query.shape[:2], width)
        grid = (len(query) * layout.groups * layout.heads, triton.cdiv(attends.shape[1], QUERIES))
        _attention_forward[grid](
            *_inputs(query, own, width),
            frozen,
            attends,
            out,
            *_sizes(query, own, frozen, attends, layout),
            num_warps=warps_of(_padded(attends)),
        )
        ctx.save_for_backward(query, own, frozen, attends)
        ctx.layout = layout
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, own, frozen, attends = ctx.saved_tensors
        layout: Layout = ctx.layout
        width, behind = layout.heads * frozen.shape[-1], query.shape[-1] > layout.heads * frozen.shape[-1]
        d_query = torch.empty_like(query)
        d_own = d_query[..., width:] if behind else torch.empty_like(own)
        shares = query.new_empty(len(query), layout.groups, max(layout.trunk, 1), 2 * width, dtype=torch.float32)
        _attention_backward[(len(query) * layout.groups * layout.heads,)](
            *_inputs(query, own, width),
            frozen,
            attends,
            gradients[0].contiguous(),
            d_query,
            d_own,
            shares,
            *_sizes(query, own, frozen, attends, layout),
            num_warps=warps_of(_padded(attends)),
        )
        if layout.trunk:
            _add_shares(d_own, shares)
        return d_query, None if behind else d_own, None, None, None


def _add_shares(d_own: Tensor, shares: Tensor) -> None:
    """Add what all groups have of the gradient to trunk tokens, (M, G, P, 2 W), to what group 0 stored there."""
    contexts, groups, trunk, width = shares.shape
    _sum_shares[(contexts * trunk, triton.cdiv(width, COLUMNS))](
        *(shares, d_own, d_own.stride(0), d_own.stride(1), groups, trunk, width, SUMMED, COLUMNS), num_warps=4
    )


def warps_of(keys: int) -> int:
    """Of a program whose keys, padded, are so many: the gradients of keys and values are to fit into its registers."""
    return 4 if keys <= 64 else 8


def _inputs(query: Tensor, own: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Where queries begin, and where keys and values do."""
    return query, query[..., width:] if query.shape[-1] > width else own


def _sizes(query: Tensor, own: Tensor, frozen: Tensor, attends: Tensor, layout: Layout) -> tuple[Any, ...]:
    """The kernels' last arguments."""
    _, _, heads, n_frozen, head_width = frozen.shape
    width, behind = heads * head_width, query.shape[-1] > heads * head_width
    return (
        *(query.shape[-1], query.shape[-1] if behind else own.shape[-1], layout.groups, layout.length, layout.trunk),
        *(n_frozen, attends.shape[1], head_width**-0.5, width, heads, head_width, QUERIES, _padded(attends)),
    )


def _padded(attends: Tensor) -> int:
    """Keys that a program holds."""
    return max(16, int(triton.next_power_of_2(attends.shape[2])))


@triton.jit
def _keys_and_values(own, frozen, m, g, h, j, row_own, G, T, P, F, W: tl.constexpr, H: tl.constexpr, D: tl.constexpr):
    """Of trunk, frozen and live tokens of a group, (BK, D) each; zeros beyond."""
    d = tl.arange(0, D)[None, :]
    live = j - P - F
    moves = ((j < P) | ((live >= 0) & (live < T)))[:, None]
    stays = ((j >= P) & (live < 0))[:, None]
    at = (m * G * T + tl.where(j < P, j, g * T + live)).to(tl.int64)[:, None] * row_own + h * D + d
    still = ((g * H + h) * F + j - P).to(tl.int64)[:, None] * D + d
    values = still + G.to(tl.int64) * H * F * D
    key = tl.load(own + at, mask=moves, other=0) + tl.load(frozen + still, mask=stays, other=0)
    value = tl.load(own + at + W, mask=moves, other=0) + tl.load(frozen + values, mask=stays, other=0)
    return key, value


@triton.jit
def _weights(q, k, attends, g, i, j, t, K, scale):
    """exp(scale q k^T - its maximum), and the sum over keys; rows beyond t attend to all keys and are never stored."""
    seen = tl.load(attends + (g * t + i)[:, None] * K + j[None, :], mask=(i < t)[:, None] & (j < K)[None, :], other=0)
    logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    logits = tl.where((seen != 0) | (i >= t)[:, None], logits, float("-inf"))
    weights = tl.exp(logits - tl.max(logits, 1)[:, None])
    return weights, tl.sum(weights, 1)[:, None]


@triton.jit(do_not_specialize=["G", "T", "P", "F", "t", "scale"])
def _attention_forward(
    query, own, frozen, attends, out, row_query, row_own, G, T, P, F, t, scale,
    W: tl.constexpr, H: tl.constexpr, D: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """A program per context, group and head, and per BQ queries."""
    h, g, m = tl.program_id(0) % H, tl.program_id(0) // H % G, tl.program_id(0) // (H * G)
    i, j, d = tl.program_id(1) * BQ + tl.arange(0, BQ), tl.arange(0, BK), tl.arange(0, D)[None, :]
    rows, asks = ((m * G + g) * t + i).to(tl.int64)[:, None], (i < t)[:, None]
    q = tl.load(query + rows * row_query + h * D + d, mask=asks, other=0)
    k, v = _keys_and_values(own, frozen, m, g, h, j, row_own, G, T, P, F, W, H, D)
    weights, total = _weights(q, k, attends, g, i, j, t, P + F + T, scale)
    tl.store(out + rows * W + h * D + d, tl.dot(weights.to(v.dtype), v, input_precision="ieee") / total, mask=asks)


@triton.jit(do_not_specialize=["G", "T", "P", "F", "t", "scale"])
def _attention_backward(
    query, own, frozen, attends, d_out, d_query, d_own, shares, row_query, row_own, G, T, P, F, t, scale,
    W: tl.constexpr, H: tl.constexpr, D: tl.constexpr, BQ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """A program per context, group and head, which calculates the weights again.

    Of the trunk's keys and values it stores this group's share of the gradient, in `shares` (M, G, P, 2 W).
    """
    h, g, m = tl.program_id(0) % H, tl.program_id(0) // H % G, tl.program_id(0) // (H * G)
    j, d = tl.arange(0, BK), tl.arange(0, D)[None, :]
    k, v = _keys_and_values(own, frozen, m, g, h, j, row_own, G, T, P, F, W, H, D)
    d_key, d_value = tl.zeros((BK, D), tl.float32), tl.zeros((BK, D), tl.float32)
    for start in range(0, t, BQ):
        i = start + tl.arange(0, BQ)
        rows, asks = ((m * G + g) * t + i).to(tl.int64)[:, None], (i < t)[:, None]
        q = tl.load(query + rows * row_query + h * D + d, mask=asks, other=0)
        do = tl.load(d_out + rows * W + h * D + d, mask=asks, other=0)
        weights, total = _weights(q, k, attends, g, i, j, t, P + F + T, scale)
        weights = weights / total
        d_value = tl.dot(tl.trans(weights.to(do.dtype)), do, d_value, input_precision="ieee")
        d_weights = tl.dot(do, tl.trans(v), input_precision="ieee")
        d_logits = weights * (d_weights - tl.sum(weights * d_weights, 1)[:, None]) * scale
        d_logits = d_logits.to(q.dtype)
        tl.store(d_query + rows * row_query + h * D + d, tl.dot(d_logits, k, input_precision="ieee"), mask=asks)
        d_key = tl.dot(tl.trans(d_logits), q, d_key, input_precision="ieee")
    live = j - P - F
    mine = ((live >= 0) & (live < T))[:, None]
    at = ((m * G + g) * T + live).to(tl.int64)[:, None] * row_own + h * D + d
    tl.store(d_own + at, d_key, mask=mine)
    tl.store(d_own + at + W, d_value, mask=mine)
    share = ((m * G + g) * P + j).to(tl.int64)[:, None] * (2 * W) + h * D + d
    tl.store(shares + share, d_key, mask=(j < P)[:, None])
    tl.store(shares + share + W, d_value, mask=(j < P)[:, None])


@triton.jit(do_not_specialize=["G", "P"])
def _sum_shares(
    shares, d_own, row_context, row_own, G, P, W2: tl.constexpr, BG: tl.constexpr, BW: tl.constexpr
):  # fmt: skip
    """A program per context, trunk token and BW columns; groups are summed in their order, BG at once."""
    m, p = tl.program_id(0) // P, tl.program_id(0) % P
    column = tl.program_id(1) * BW + tl.arange(0, BW)
    total = tl.zeros((BG, BW), tl.float32)
    for start in range(0, G, BG):
        g = start + tl.arange(0, BG)
        at = ((m * G + g) * P + p).to(tl.int64)[:, None] * W2 + column[None, :]
        total += tl.load(shares + at, mask=(g < G)[:, None] & (column < W2)[None, :], other=0)
    place = d_own + m.to(tl.int64) * row_context + p * row_own + column
    own = tl.load(place, mask=column < W2, other=0).to(tl.float32)
    tl.store(place, own + tl.sum(total, 0), mask=column < W2)
