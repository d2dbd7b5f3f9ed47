"""The trie's text transformer with the project's kernels: attention in place, residual sums fused with their norms.

Shapes: as in `trie_transformer`.
"""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.clip.text_tower import TextTower
from dualpt.core.clip.text_transformer import Block, QuickGELU
from dualpt.core.kernels.residual_norm import add_and_norm
from dualpt.core.kernels.sigmoid_gelu import sigmoid_gelu
from dualpt.core.kernels.trie_attention import MOST_KEYS, Layout, attend_in_place
from dualpt.core.prompts.trie import PromptTrie
from dualpt.core.prompts.trie_transformer import TrieTransformer

HEAD_WIDTHS = (16, 32, 64, 128)


def misfit(tower: TextTower, trie: PromptTrie) -> str:
    """Why the kernels don't serve this tower and trie; empty where they do."""
    if len(tower.blocks) < 2:
        return "a text tower of a single block"
    if (head_width := tower.width // tower.blocks[0].attn.num_heads) not in HEAD_WIDTHS:
        return f"attention heads of width {head_width}"
    keys = trie.attends.shape[2]
    return f"{keys} keys in a group, of which a kernel holds {MOST_KEYS}" if keys > MOST_KEYS else ""


class FusedTrieTransformer(TrieTransformer):
    """As `TrieTransformer`, for a tower and trie without a `misfit`."""

    def __init__(self, tower: TextTower, trie: PromptTrie) -> None:
        super().__init__(tower, trie)
        attends = trie.attends.to(tower.device, torch.int8).contiguous()
        ends = trie.ends.to(tower.device)
        self._attends = attends
        """(G, T, K)"""
        self._end_attends = attends.gather(1, ends[..., None].expand(-1, -1, attends.shape[2])).contiguous()
        """(G, E, K)"""
        groups, length = self._shape
        self._layout = Layout(groups, length, self._trunk, self._n_heads)

    def encode(self, rows: Tensor) -> Tensor:
        """As `TrieTransformer.encode`."""
        blocks, width = self._blocks, self._tower.width
        x, packed = self._first_layer(rows)
        added = torch.empty(0)
        for block, frozen in zip(blocks[:-1], self._frozen, strict=False):
            if block is not blocks[0]:
                x, normed = add_and_norm(x, added, block.ln_1)
                packed = F.linear(normed, block.attn.in_proj_weight, block.attn.in_proj_bias)
            x, added = _mlp(block, x, attend_in_place(packed, packed, frozen, self._attends, self._layout))
        last = blocks[-1]
        weight, bias = cast(Tensor, last.attn.in_proj_weight), cast(Tensor, last.attn.in_proj_bias)
        x, normed = add_and_norm(x, added, last.ln_1)
        x, at_ends = x.index_select(1, self._ends), normed.index_select(1, self._ends)
        query, own = F.linear(at_ends, weight[:width], bias[:width]), F.linear(normed, weight[width:], bias[width:])
        x, added = _mlp(last, x, attend_in_place(query, own, self._frozen[-1], self._end_attends, self._layout))
        return self._tower.read_out(x + added).index_select(1, self._classes)


def _mlp(block: Block, x: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
    """Add the attention to `x`; the sum, and what the MLP makes of it, to be added."""
    x, normed = add_and_norm(x, block.attn.out_proj(attended), block.ln_2)
    hidden = block.mlp.c_fc(normed)
    hidden = sigmoid_gelu(hidden) if isinstance(block.mlp.gelu, QuickGELU) else block.mlp.gelu(hidden)
    return x, block.mlp.c_proj(hidden)
