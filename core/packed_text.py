"""The text transformer on packed prompts: every common token once, and nothing computed that is constant.

What `core.packing` lays out is encoded here, equal to encoding each prompt alone, in forward and gradient:

- the first layer's normalisation, queries, keys and values of class-name tokens are constants, computed once;
- frozen tokens are keys and values only, computed once for every layer;
- the last layer runs for end tokens alone, the others' keys and values apart.

Blocks are written out rather than called: small models are bound by the number of operations, and
`nn.MultiheadAttention` adds many of its own.

Shapes: M contexts encoded together (replicas x prompts), G groups, T live tokens in a group, P trunk tokens, F frozen
tokens of a group, K = P + F + T keys, E classes that end in a group, S places of context rows, W text width, H heads,
D joint width, C classes.
"""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from core.packing import Packing
from core.text_tower import TextTower

ACTIVATION_BYTES = 8 * 2**30
"""Memory for what the text encoder keeps for the backward pass; above, it is computed anew there."""

CPU_TOKENS = 2048
"""Live tokens encoded at once on a CPU, unless one context has more: larger activations leave the caches (ImageNet's
three seeds together took 1.2 times as long as one after the other)."""


class PackedPrompts:
    """Prompts of C classes, encoded together for any values of their context rows.

    Args:
        tower: The frozen text encoder; must be one that `can_pack`.
        packing: Where tokens stand; ids from the tower's vocabulary size on are context rows.
    """

    def __init__(self, tower: TextTower, packing: Packing) -> None:
        device = tower.device
        self._tower, self._blocks = tower, tower.blocks
        self._shape = tuple(packing.ids.shape)
        self._trunk = packing.trunk
        ids, positions = packing.ids.to(device).flatten(), tower.position_embeddings(packing.positions.flatten())
        self._slots = (ids >= tower.vocabulary).nonzero().flatten()
        """(S,): places in the flattened (G * T) that hold a context row,"""
        self._rows = ids[self._slots] - tower.vocabulary
        """(S,): which row of the contexts each holds,"""
        self._slot_positions = positions[self._slots]
        """(S, W): and its positional embedding."""
        self._constant = tower.embed(ids.where(ids < tower.vocabulary, 0)) + positions
        """(G * T, W): the input at all other places,"""
        with torch.no_grad():
            self._constant_qkv = _query_key_value(self._blocks[0], self._constant)
            """(G * T, 3 W): and the first layer's queries, keys and values there."""
            frozen = tower.embed(packing.frozen_ids) + tower.position_embeddings(packing.frozen_positions)
            mask = _additive(packing.frozen_attends, tower.dtype).to(device)
            self._frozen = _keys_and_values(self._blocks, frozen, mask)
            """Of each layer (G, F, 2 W): keys and values of frozen tokens."""
        ends = packing.ends.to(device)
        self._ends = (ends + self._shape[1] * torch.arange(len(ends), device=device)[:, None]).flatten()
        """(G * E,): places in the flattened (G * T) of the end tokens."""
        self._classes = packing.classes.to(device)
        self._mask = _additive(packing.attends, tower.dtype).to(device)
        """(G, T, K)"""
        self._end_mask = self._mask.gather(1, ends[..., None].expand(-1, -1, self._mask.shape[2]))
        """(G, E, K)"""

    @property
    def activation_bytes(self) -> int:
        """Memory that the backward pass needs of one context's forward pass, in bytes.

        A live token leaves in every layer but the last the inputs of both normalisations (2 W, float32 where they
        calculate in it), queries, keys and values (3 W), the attention's output (W) and the MLP's hidden values (4 W);
        a key and value (2 W) is kept once more, gathered. In the last layer, only end tokens leave all that.
        """
        groups, ends, keys = self._end_mask.shape
        length, layers, size = self._shape[1], len(self._blocks), self._mask.element_size()
        full = (layers - 1) * length + ends
        normed = (2 * full + length) * max(size, 4)
        return groups * self._tower.width * (normed + (8 * full + layers * 2 * keys) * size)

    @property
    def step_flops(self) -> int:
        """Floating-point operations of matrix products and attention in one context's forward and backward pass.

        A layer's matrix products are 12 W² multiplications a token, and as many for its gradient; the first layer saves
        3 W² of them each way where a token is constant, and the last has 2 W² for keys and values of every token and
        the rest for end tokens alone. A key costs 2 W multiplications forward, and 5 W backward, where the logits are
        calculated once more.
        """
        groups, ends, keys = self._end_mask.shape
        live, read, width, layers = len(self._constant), groups * ends, self._tower.width, len(self._blocks)
        products = ((layers - 1) * 12 * live - 3 * (live - len(self._slots)) + 2 * live + 10 * read) * width**2
        attention = ((layers - 1) * live + read) * keys * width
        return 2 * (2 * products + 7 * attention)

    def encode(self, rows: Tensor) -> Tensor:
        """Features (M, C, D) from context rows (M, n, W) in the tower's number format; differentiable.

        Contexts are encoded a few at a time where that is faster or saves memory; where all their activations would
        exceed `ACTIVATION_BYTES`, the backward pass computes them anew, with the same numbers.
        """
        at_once = max(1, ACTIVATION_BYTES // self.activation_bytes)
        recompute = torch.is_grad_enabled() and rows.requires_grad and at_once < len(rows)
        if rows.device.type == "cpu":
            at_once = max(1, min(at_once, CPU_TOKENS // self._constant.shape[0]))
        encode = partial(checkpoint, self._encode, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([encode(part) if recompute else self._encode(part) for part in rows.split(at_once)])

    def _encode(self, rows: Tensor) -> Tensor:
        """`encode` for contexts whose activations fit."""
        context = rows.index_select(1, self._rows) + self._slot_positions
        x = self._constant.expand(len(rows), -1, -1).index_copy(1, self._slots, context)
        first = _query_key_value(self._blocks[0], context)
        query_key_value = self._constant_qkv.expand(len(rows), -1, -1).index_copy(1, self._slots, first)
        mask, end_mask = (m.repeat(len(rows), 1, 1)[:, None] for m in (self._mask, self._end_mask))
        for block, frozen in zip(self._blocks[:-1], self._frozen, strict=False):
            if block is not self._blocks[0]:
                query_key_value = _query_key_value(block, x)
            query, own = query_key_value.split([x.shape[-1], 2 * x.shape[-1]], dim=-1)
            x = _residual(block, x, self._attend(block, query, own, frozen, mask))
        return self._read_ends(x, end_mask).index_select(1, self._classes)

    def _read_ends(self, x: Tensor, end_mask: Tensor) -> Tensor:
        """The last layer for end tokens: (M, G * T, W) -> features (M, G * E, D)."""
        block, width = self._blocks[-1], x.shape[-1]
        weight, bias = cast(Tensor, block.attn.in_proj_weight), cast(Tensor, block.attn.in_proj_bias)
        x_end = x.index_select(1, self._ends)
        query = F.linear(block.ln_1(x_end), weight[:width], bias[:width])
        own = F.linear(block.ln_1(x), weight[width:], bias[width:])
        return self._tower.read_out(
            _residual(block, x_end, self._attend(block, query, own, self._frozen[-1], end_mask))
        )

    def _attend(
        self, block: ResidualAttentionBlock, query: Tensor, own: Tensor, frozen: Tensor, mask: Tensor
    ) -> Tensor:
        """Attention before its output projection.

        Args:
            query: (M, G * t, W), t of each group.
            own: Keys and values (M, G * T, 2 W) of live tokens.
            frozen: Those of frozen tokens (G, F, 2 W).
            mask: (M * G, 1, t, K), additive.

        Returns:
            (M, G * t, W)
        """
        n_contexts, (groups, length), heads = len(query), self._shape, block.attn.num_heads
        own = own.view(n_contexts, groups, length, -1)
        parts = [frozen.expand(n_contexts, -1, -1, -1), own]
        if self._trunk:
            parts = [own[:, :1, : self._trunk].expand(-1, groups, -1, -1), *parts]
        key, value = torch.cat(parts, dim=2).flatten(0, 1).chunk(2, dim=-1)
        query_heads = _heads(query.view(n_contexts * groups, -1, query.shape[-1]), heads)
        attended = F.scaled_dot_product_attention(query_heads, _heads(key, heads), _heads(value, heads), attn_mask=mask)
        return attended.transpose(1, 2).reshape(query.shape)


def _additive(attends: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask to add to attention's logits: 0 or -inf."""
    return torch.zeros(attends.shape, dtype=dtype).masked_fill(~attends, -torch.inf)


def _keys_and_values(blocks: Sequence[ResidualAttentionBlock], x: Tensor, mask: Tensor) -> list[Tensor]:
    """Of tokens that see only each other, in every layer: (G, F, W), additive mask (G, F, F) -> (G, F, 2 W) each."""
    found = []
    for block in blocks:
        query, key_value = _query_key_value(block, x).split([x.shape[-1], 2 * x.shape[-1]], dim=-1)
        found.append(key_value.contiguous())
        q, k, v = (_heads(part, block.attn.num_heads) for part in (query, *key_value.chunk(2, dim=-1)))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])
        x = _residual(block, x, attended.transpose(1, 2).flatten(2))
    return found


def _query_key_value(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """(..., W) -> (..., 3 W)"""
    return F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)


def _heads(x: Tensor, heads: int) -> Tensor:
    """Split the width into heads: (n, t, W) -> (n, H, t, W / H)."""
    n, length, width = x.shape
    return x.view(n, length, heads, width // heads).transpose(1, 2)


def _residual(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """Add the attention and then the MLP to `x`; all (..., W)."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    hidden = block.mlp.c_fc(block.ln_2(x))
    hidden = _quick_gelu_(hidden) if isinstance(block.mlp.gelu, QuickGELU) else block.mlp.gelu(hidden)
    return cast(Tensor, x + block.ls_2(block.mlp.c_proj(hidden)))


def _quick_gelu_(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), overwriting `x`: one tensor kept for the backward pass where open_clip's keeps three."""
    return F.silu(x.mul_(1.702)).div_(1.702)
