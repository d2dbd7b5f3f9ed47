"""Packing prompts of many classes into few sequences that share one prefix.

A packed sequence is `prefix | rest of class 0 | rest of class 1 | ... | padding`. Positions restart after the prefix
in each class, and the mask lets a token attend to the prefix and to earlier tokens of its own class: a tree of
prompts, encoded as one sequence. The prefix is thereby encoded once for all its classes instead of once per class,
and nothing is padded to the longest class.

Shapes: C classes, G packed sequences, T tokens in a sequence, E classes in a sequence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TOKENS_PER_SEQUENCE = 256
"""Aim for the length of a packed sequence. Longer ones repeat the prefix less often, but pay for attention between
classes that the mask then hides; 256 is near the optimum for widths of 128 to 768."""

_PREFIX = -1
_PADDING = -2


@dataclass(frozen=True)
class Packing:
    """Where each token of each prompt stands."""

    ids: Tensor
    """(G, T) int64: what stands there; 0 in the padding."""
    positions: Tensor
    """(G, T) int64: its position within its own prompt."""
    attends: Tensor
    """(G, T, T) bool: whether token i attends to token j."""
    ends: Tensor
    """(G, E) int64: place in T of the last token of each class; 0 beyond a sequence's own classes."""
    classes: Tensor
    """(C,) int64: place in the flattened (G * E) of each class, in order."""


def pack(prompts: Sequence[Sequence[int]], tokens_per_sequence: int = TOKENS_PER_SEQUENCE) -> Packing:
    """Pack one prompt per class, in order, behind their longest common prefix.

    Args:
        prompts: C sequences of ids, each ending with its end token.
        tokens_per_sequence: Aim for the length T; exceeded by at most one class.
    """
    prefix = common_prefix(prompts)
    groups = _balanced_groups([len(prompt) - prefix for prompt in prompts], tokens_per_sequence - prefix)
    length = max(prefix + sum(len(prompts[c]) - prefix for c in group) for group in groups)
    most = max(map(len, groups))

    shape = len(groups), length
    ids, positions, owner = torch.zeros(shape).long(), torch.zeros(shape).long(), torch.full(shape, _PADDING)
    ends, classes = torch.zeros(len(groups), most).long(), []
    for g, group in enumerate(groups):
        ids[g, :prefix] = torch.tensor(prompts[0][:prefix])
        positions[g, :prefix] = torch.arange(prefix)
        owner[g, :prefix] = _PREFIX
        start = prefix
        for slot, c in enumerate(group):
            stop = start + len(prompts[c]) - prefix
            ids[g, start:stop] = torch.tensor(prompts[c][prefix:])
            positions[g, start:stop] = torch.arange(prefix, len(prompts[c]))
            owner[g, start:stop] = c
            ends[g, slot] = stop - 1
            classes.append(g * most + slot)
            start = stop
    visible = (owner[:, None, :] == _PREFIX) | (owner[:, None, :] == owner[:, :, None])
    # Padding stands at position 0: it attends to the first token of the prefix, so that its softmax is defined.
    attends = visible & (positions[:, None, :] <= positions[:, :, None])
    return Packing(ids, positions, attends, ends, torch.tensor(classes))


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix, at least one token short of every prompt."""
    shortest = min(map(len, prompts)) - 1
    for length in range(shortest):
        if any(prompt[length] != prompts[0][length] for prompt in prompts):
            return length
    return shortest


def _balanced_groups(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Split consecutive classes into as few groups as `capacity` tokens allow, of nearly equal total length."""
    total = sum(lengths)
    n_groups = min(-(-total // max(capacity, 1)), len(lengths))
    groups: list[list[int]] = [[] for _ in range(n_groups)]
    before = 0
    for c, length in enumerate(lengths):
        groups[before * n_groups // total].append(c)
        before += length
    return [group for group in groups if group]
