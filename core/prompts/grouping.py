"""Which prompts are encoded together: parts of a class list, and within a part the groups that cost least.

In trie order, as `in_trie_order` sorts them, each prompt shares most with its neighbours.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

LONGEST_GROUP = 256
"""Live tokens in a group, at most, unless a single class has more."""

LAYER_COST = 2.5
"""What a token costs in one layer besides its attention, per unit of width, in keys that it could attend to for that:
on two CPU cores and W = 512 a key took about 65 ns, and all else about 85 µs a token, forward and backward."""


def in_trie_order(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Numbers of the prompts, sorted by their tokens."""
    return sorted(range(len(prompts)), key=lambda c: tuple(prompts[c]))


def common_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of tokens that both begin with."""
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return length
    return min(len(one), len(other))


def parts_of_equal_length(prompts: Sequence[Sequence[int]], *, vocabulary: int, at_most: int) -> list[list[int]]:
    """Neighbours in trie order, in parts of about `at_most` live tokens or fewer: their numbers in `prompts`."""
    order = in_trie_order(prompts)
    in_order = [prompts[c] for c in order]
    before = [0, *accumulate(_lengths_after_predecessors(in_order, frozen_lengths(in_order, vocabulary)))]
    n_parts = math.ceil(before[-1] / at_most)
    parts: dict[int, list[int]] = {}
    for c, tokens in zip(order, before, strict=False):
        # A last prompt that repeats the one before it begins where all tokens are counted.
        parts.setdefault(min(tokens * n_parts // before[-1], n_parts - 1), []).append(c)
    return list(parts.values())


def frozen_lengths(prompts: Sequence[Sequence[int]], vocabulary: int) -> list[int]:
    """Number of tokens before the first context row."""
    return [next(i for i, token in enumerate(prompt) if token >= vocabulary) for prompt in prompts]


def cheapest_groups(
    prompts: Sequence[Sequence[int]], frozen: Sequence[int], trunk: int, width: int, longest: int
) -> list[list[int]]:
    """Prompts in groups of nearly equal size: of all sizes, the one that costs least.

    Small groups attend to little but pad more, and repeat beginnings that the trunk does not hold. Prompts that share
    more than the trunk stay together where they fit; the largest such families come first, so that small ones fill up.

    Args:
        prompts: In trie order.
        frozen: Their `frozen_lengths`.
        trunk: Live tokens that all share, which stand in the first group.
        width: W, by which a token's attention is weighed against the rest of a layer.
        longest: Live tokens in a group, at most, unless a single prompt has more.

    Returns:
        Numbers of the prompts in each group, ascending; the first group may have none.
    """
    alone = [len(prompt) - start - trunk for prompt, start in zip(prompts, frozen, strict=True)]
    after = _lengths_after_predecessors(prompts, frozen)

    def families(size: int) -> dict[int, list[list[int]]]:
        """By their number of tokens, the largest first; those of more than `size` in pieces."""
        pieces: list[list[int]] = []
        lengths: list[int] = []
        for i in range(len(prompts)):
            if pieces and after[i] < alone[i] and lengths[-1] + after[i] <= size:
                pieces[-1].append(i)
                lengths[-1] += after[i]
            else:
                pieces.append([i])
                lengths.append(alone[i])
        found: dict[int, list[list[int]]] = {length: [] for length in sorted(set(lengths), reverse=True)}
        for piece, length in zip(pieces, lengths, strict=True):
            found[length].append(piece)
        return found

    def split(size: int) -> tuple[list[list[int]], int]:
        waiting, groups, most, used = families(size), [], 0, trunk
        while any(waiting.values()):
            members: list[int] = []
            for length, pieces in waiting.items():
                n = min(len(pieces), (size - used) // length)
                members += (i for piece in pieces[:n] for i in piece)
                del pieces[:n]
                used += n * length
            groups.append(sorted(members))
            most, used = max(most, used), 0
        return groups, most

    def cost(candidate: tuple[list[list[int]], int]) -> float:
        groups, size = candidate
        return len(groups) * size * (LAYER_COST * width + size + (trunk if len(groups) > 1 else 0))

    smallest, total = max(trunk, *alone), trunk + alone[0] + sum(after[1:])
    return min((split(size) for size in range(smallest, max(smallest, min(total, longest)) + 1)), key=cost)[0]


def _lengths_after_predecessors(prompts: Sequence[Sequence[int]], frozen: Sequence[int]) -> list[int]:
    """Live tokens of each prompt that it does not share with the one before it."""
    shared = [0, *(common_beginning(one, other) for one, other in pairwise(prompts))]
    return [len(prompt) - max(s, start) for prompt, s, start in zip(prompts, shared, frozen, strict=True)]
