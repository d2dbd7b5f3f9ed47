"""The text transformer on a trie of prompts: every shared token once, and nothing constant computed twice.

What `dualpt.core.prompts.trie` lays out is encoded here, equal to encoding each prompt alone, in forward and gradient:

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
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.clip.text_tower import TextTower
from dualpt.core.clip.text_transformer import Block, QuickGELU
from dualpt.core.prompts.attention import attend, for_heads, keeps_weights
from dualpt.core.prompts.spread_rows import RowSpreader
from dualpt.core.prompts.trie import PromptTrie


class TrieTransformer:
    """Prompts of C classes, encoded together for any values of their context rows.

    Args:
        tower: The frozen text encoder.
        trie: Where tokens stand; ids from the tower's vocabulary size on are context rows.
    """

    def __init__(self, tower: TextTower, trie: PromptTrie) -> None:
        device = tower.device
        self._tower, self._blocks, self._n_heads = tower, tower.blocks, int(tower.blocks[0].attn.num_heads)
        self._shape = tuple(trie.ids.shape)
        self._trunk = trie.trunk
        ids, positions = trie.ids.to(device).flatten(), tower.position_embeddings(trie.positions.flatten())
        self._slots = (ids >= tower.vocabulary).nonzero().flatten()
        """(S,): places in the flattened (G * T) that hold a context row."""
        self._spread = RowSpreader(ids[self._slots] - tower.vocabulary)
        """Puts into each of these the row that it holds."""
        self._slot_positions = positions[self._slots]
        """(S, W): their positional embeddings."""
        self._constant = tower.embed(ids.where(ids < tower.vocabulary, 0)) + positions
        """(G * T, W): the input at all other places."""
        with torch.no_grad():
            self._constant_qkv = _query_key_value(self._blocks[0], self._constant)
            """(G * T, 3 W): the first layer's queries, keys and values of that input."""
            frozen = tower.embed(trie.frozen_ids) + tower.position_embeddings(trie.frozen_positions)
            mask = _additive(trie.frozen_attends, tower.dtype).to(device)
            self._frozen = _frozen_keys_and_values(self._blocks, frozen, mask)
            """Of each layer (2, G, H, F, W / H): keys and values of frozen tokens."""
        ends = trie.ends.to(device)
        self._ends = (ends + self._shape[1] * torch.arange(len(ends), device=device)[:, None]).flatten()
        """(G * E,): places in the flattened (G * T) of the end tokens."""
        self._classes = trie.classes.to(device)
        self._mask = _additive(trie.attends, tower.dtype).to(device)
        """(G, T, K)"""
        self._end_mask = self._mask.gather(1, ends[..., None].expand(-1, -1, self._mask.shape[2]))
        """(G, E, K)"""

    @property
    def n_tokens(self) -> int:
        """Live tokens of one context, padding included."""
        return len(self._constant)

    @property
    def activation_bytes(self) -> int:
        """Memory that the backward pass needs of one context's forward pass, in bytes.

        A live token leaves in every layer but the last the inputs of both normalisations (2 W, float32 where they
        calculate in it), its queries (W) and the MLP's hidden values (4 W); a key and its value leave 2 W. Attention
        that keeps its weights leaves one for each key and head; fused attention its output (W) and, with the queries,
        the keys and values that they were calculated with (2 W). In the last layer, only end tokens leave all that.
        """
        groups, ends, keys = self._end_mask.shape
        length, layers, width, size = self._shape[1], len(self._blocks), self._tower.width, self._mask.element_size()
        full = (layers - 1) * length + ends
        normed = (2 * full + length) * max(size, 4)
        attention = full * (self._n_heads * keys if keeps_weights(self._mask) else 3 * width)
        return groups * (width * (normed + (5 * full + layers * 2 * keys) * size) + attention * size)

    @property
    def step_flops(self) -> int:
        """Floating-point operations of matrix products and attention in one context's forward and backward pass.

        A layer's matrix products are 12 W² multiplications a token, and as many for its gradient; the first layer saves
        3 W² of them each way where a token is constant, and the last has 2 W² for keys and values of every token and
        the rest for end tokens alone. A key costs 2 W multiplications forward, and 4 W backward.
        """
        groups, ends, keys = self._end_mask.shape
        live, read, width, layers = self.n_tokens, groups * ends, self._tower.width, len(self._blocks)
        products = ((layers - 1) * 12 * live - 3 * (live - len(self._slots)) + 2 * live + 10 * read) * width**2
        attention = ((layers - 1) * live + read) * keys * width
        return 2 * (2 * products + 6 * attention)

    def encode(self, rows: Tensor) -> Tensor:
        """Features (M, C, D) from context rows (M, n, W) in the tower's number format; differentiable, all at once."""
        x, packed = self._first_layer(rows)
        mask, end_mask = (for_heads(m.repeat(len(rows), 1, 1), self._n_heads) for m in (self._mask, self._end_mask))
        for block, frozen in zip(self._blocks[:-1], self._frozen, strict=False):
            if block is not self._blocks[0]:
                packed = _query_key_value(block, x)
            query, own = packed.split([x.shape[-1], 2 * x.shape[-1]], dim=-1)
            x = _residual(block, x, self._attend(query, own, frozen, mask))
        return self._read_ends(x, end_mask).index_select(1, self._classes)

    def _first_layer(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Its input (M, G * T, W), and its queries, keys and values (M, G * T, 3 W)."""
        context = self._spread(rows) + self._slot_positions
        x = self._constant.expand(len(rows), -1, -1).index_copy(1, self._slots, context)
        first = _query_key_value(self._blocks[0], context)
        return x, self._constant_qkv.expand(len(rows), -1, -1).index_copy(1, self._slots, first)

    def _read_ends(self, x: Tensor, end_mask: Tensor) -> Tensor:
        """The last layer for end tokens: (M, G * T, W) -> features (M, G * E, D)."""
        block, width = self._blocks[-1], x.shape[-1]
        weight, bias = cast(Tensor, block.attn.in_proj_weight), cast(Tensor, block.attn.in_proj_bias)
        x_end = x.index_select(1, self._ends)
        query = F.linear(block.ln_1(x_end), weight[:width], bias[:width])
        own = F.linear(block.ln_1(x), weight[width:], bias[width:])
        return self._tower.read_out(_residual(block, x_end, self._attend(query, own, self._frozen[-1], end_mask)))

    def _attend(self, query: Tensor, own: Tensor, frozen: Tensor, mask: Tensor) -> Tensor:
        """Attention before its output projection.

        Args:
            query: (M, G * t, W), t of each group.
            own: Keys and values (M, G * T, 2 W) of live tokens.
            frozen: Those of frozen tokens (2, G, H, F, W / H).
            mask: (M * G, H or 1, t, K), additive.

        Returns:
            (M, G * t, W)
        """
        n_contexts, (groups, length), heads = len(query), self._shape, self._n_heads
        live = _keys_and_values(own.view(n_contexts, groups, length, -1), heads)
        parts = [frozen[:, None].expand(-1, n_contexts, -1, -1, -1, -1), live]
        if self._trunk:
            parts = [live[:, :, :1, :, : self._trunk].expand(-1, -1, groups, -1, -1, -1), *parts]
        key, value = torch.cat(parts, dim=4).flatten(1, 2).unbind()
        query_heads = _heads(query.view(n_contexts * groups, -1, query.shape[-1]), heads)
        return attend(query_heads, key, value, mask).transpose(1, 2).reshape(query.shape)


def _additive(attends: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask to add to attention's logits: 0 or -inf."""
    return torch.zeros(attends.shape, dtype=dtype).masked_fill(~attends, -torch.inf)


def _frozen_keys_and_values(blocks: Sequence[Block], x: Tensor, mask: Tensor) -> list[Tensor]:
    """Of tokens that see only each other, in every layer: (G, F, W), additive mask (G, F, F) -> (2, G, H, F, W / H)."""
    found = []
    for block in blocks:
        heads, width = block.attn.num_heads, x.shape[-1]
        query, own = _query_key_value(block, x).split([width, 2 * width], dim=-1)
        found.append(_keys_and_values(own, heads).contiguous())
        attended = attend(_heads(query, heads), found[-1][0], found[-1][1], for_heads(mask, heads))
        x = _residual(block, x, attended.transpose(1, 2).flatten(2))
    return found


def _query_key_value(block: Block, x: Tensor) -> Tensor:
    """(..., W) -> (..., 3 W)"""
    return F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)


def _heads(x: Tensor, heads: int) -> Tensor:
    """Split the width into heads: (..., t, W) -> (..., H, t, W / H)."""
    return x.view(*x.shape[:-1], heads, -1).transpose(-3, -2)


def _keys_and_values(x: Tensor, heads: int) -> Tensor:
    """Keys and values by head: (..., t, 2 W) -> (2, ..., H, t, W / H)."""
    return _heads(x.view(*x.shape[:-1], 2, -1).movedim(-2, 0), heads)


def _residual(block: Block, x: Tensor, attended: Tensor) -> Tensor:
    """Add the attention and then the MLP to `x`; all (..., W)."""
    x = x + block.attn.out_proj(attended)
    hidden = block.mlp.c_fc(block.ln_2(x))
    hidden = quick_gelu_(hidden) if isinstance(block.mlp.gelu, QuickGELU) else block.mlp.gelu(hidden)
    return cast(Tensor, x + block.mlp.c_proj(hidden))


def quick_gelu_(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), overwriting `x`: one tensor kept for the backward pass where open_clip's keeps three."""
    return F.silu(x.mul_(1.702)).div_(1.702)
