"""The prompts of all classes, encoded as much at a time as caches and memory hold.

Classes and contexts do not depend on one another: encoding a part of the classes and a few contexts at a time gives the
same numbers and gradients as encoding them all together.

Shapes: M contexts (replicas x prompts), C classes, D joint width, W text width.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dualpt.core.clip.text_tower import TextTower
from dualpt.core.kernels.kernel_choice import kernels_serve, say
from dualpt.core.prompts.grouping import parts_of_equal_length
from dualpt.core.prompts.trie import PromptTrie, build_trie
from dualpt.core.prompts.trie_transformer import TrieTransformer

ACTIVATION_BYTES = 8 * 2**30
"""Memory for what the text encoder keeps for the backward pass; beyond it, activations are recomputed there."""

CPU_TOKENS = 2048
"""Live tokens encoded at once on a CPU, unless a single class has more: larger activations leave the caches, and each
allocation asks the system for fresh pages."""


class PromptParts:
    """Prompts of C classes, for any values of their context rows.

    Args:
        tower: The frozen text encoder.
        prompts: C sequences of ids; those from the tower's vocabulary size on are context rows.
    """

    def __init__(self, tower: TextTower, prompts: Sequence[Sequence[int]]) -> None:
        on_cpu = tower.device.type == "cpu"
        members = [list(range(len(prompts)))]
        if on_cpu:
            members = parts_of_equal_length(prompts, vocabulary=tower.vocabulary, at_most=CPU_TOKENS)
        tries = [
            build_trie([prompts[c] for c in part], vocabulary=tower.vocabulary, width=tower.width) for part in members
        ]
        self._parts = [_transformer(tower, trie) for trie in tries]
        self._order = torch.tensor([c for part in members for c in part]).argsort().to(tower.device)
        """(C,): place of each class in the concatenated parts."""
        self._tokens_at_once = CPU_TOKENS if on_cpu else None

    @property
    def activation_bytes(self) -> int:
        """Memory that the backward pass needs of one context's forward pass, in bytes."""
        return sum(part.activation_bytes for part in self._parts)

    @property
    def step_flops(self) -> int:
        """Floating-point operations of one context's forward and backward pass."""
        return sum(part.step_flops for part in self._parts)

    def encode(self, rows: Tensor) -> Tensor:
        """Features (M, C, D) from context rows (M, n, W) in the tower's number format; differentiable.

        Where all activations together would exceed `ACTIVATION_BYTES`, the backward pass recomputes them.
        """
        too_large = len(rows) * self.activation_bytes > ACTIVATION_BYTES
        recompute = too_large and torch.is_grad_enabled() and rows.requires_grad
        features = [self._encode_part(part, rows, recompute) for part in self._parts]
        return torch.cat(features, dim=1).index_select(1, self._order)

    def _encode_part(self, part: TrieTransformer, rows: Tensor, recompute: bool) -> Tensor:
        at_once = ACTIVATION_BYTES // part.activation_bytes
        if self._tokens_at_once is not None:
            at_once = min(at_once, self._tokens_at_once // part.n_tokens)
        encode = part.encode
        if recompute:
            encode = partial(checkpoint, part.encode, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([encode(some) for some in rows.split(max(1, at_once))])


def _transformer(tower: TextTower, trie: PromptTrie) -> TrieTransformer:
    """Of a trie's prompts, with the project's kernels where they serve."""
    if kernels_serve(tower.device, tower.dtype):
        from dualpt.core.prompts.fused_transformer import FusedTrieTransformer, misfit

        if not (reason := misfit(tower, trie)):
            return FusedTrieTransformer(tower, trie)
        say(reason)
    return TrieTransformer(tower, trie)
