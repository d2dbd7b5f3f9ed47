"""The trie of all classes' prompts, laid out in groups of tokens in which no shared prefix is repeated.

Under causal attention, a token that follows the same prefix in several classes has the same activations in all of them,
and stands here once. There are three kinds of tokens:

- *Frozen* tokens stand before the first context row: the start token and, with the name in front, the name. Nothing
  learnable reaches them, so they are only keys and values, constants in every layer.
- *Live* tokens are all others. A group holds the live tokens of whole classes, which attend to each other and to the
  group's frozen tokens as the trie says.
- The *trunk* is the live tokens that all classes share: the context, with the name at the end. With several
  groups it stands in the first, and its keys are keys of the others too.

Shapes: C classes, G groups, T live tokens in a group, P trunk tokens, F frozen tokens of a group, E classes that end in
a group.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dualpt.core.prompts.grouping import LONGEST_GROUP, cheapest_groups, common_beginning, frozen_lengths, in_trie_order


@dataclass(frozen=True)
class PromptTrie:
    """Where each token of each prompt stands."""

    ids: Tensor
    """(G, T) int64: live tokens; 0 in the padding."""
    positions: Tensor
    """(G, T) int64: each one's position within its prompt."""
    frozen_ids: Tensor
    """(G, F) int64; 0 in the padding."""
    frozen_positions: Tensor
    """(G, F) int64"""
    frozen_attends: Tensor
    """(G, F, F) bool: whether frozen token i attends to frozen token j."""
    trunk: int
    """P: the first P live tokens of group 0 are keys of all others; 0 where no class has them elsewhere."""
    attends: Tensor
    """(G, T, P + F + T) bool: whether a live token attends to each trunk, frozen and live token."""
    ends: Tensor
    """(G, E) int64: place in T of the last token of each class; 0 beyond a group's own classes."""
    classes: Tensor
    """(C,) int64: place in the flattened (G * E) of each class, in order."""


def build_trie(
    prompts: Sequence[Sequence[int]], *, vocabulary: int, width: int, longest_group: int = LONGEST_GROUP
) -> PromptTrie:
    """Lay out one prompt per class, in the groups that cost least.

    Args:
        prompts: C sequences of ids, each with a context row somewhere before its end token.
        vocabulary: Ids from here on are context rows, learnable.
        width: W, by which a token's attention is weighed against the rest of a layer.
        longest_group: Live tokens in a group, at most, unless a single class has more.
    """
    order = in_trie_order(prompts)
    in_order = [prompts[c] for c in order]
    frozen = frozen_lengths(in_order, vocabulary)
    # All share what the first and the last do; an end token stays outside, also where all prompts are the same.
    common = min(common_beginning(in_order[0], in_order[-1]), len(in_order[0]) - 1)
    trunk = max(common - frozen[0], 0)
    split = cheapest_groups(in_order, frozen, trunk, width, longest_group)
    if len(split) == 1:
        trunk = 0
    groups: list[_Group] = []
    for members in split:
        beginning = in_order[0][: frozen[0] + trunk] if trunk else ()
        group = _Group(vocabulary, beginning, owns_trunk=not groups)
        for i in members:
            group.add(in_order[i])
        groups.append(group)
    return _assemble(groups, trunk, [order[i] for members in split for i in members])


class _Token(NamedTuple):
    kind: Literal["trunk", "frozen", "live"]
    place: int
    """Among those of its kind in the group."""


@dataclass
class _Tokens:
    """Tokens of one kind, each with its ancestors and itself."""

    ids: list[int] = field(default_factory=list)
    paths: list[list[_Token]] = field(default_factory=list)


class _Group:
    """One group, to which prompts are added in sorted order.

    Args:
        vocabulary: Ids from here on are context rows.
        beginning: Of all prompts, up to the end of the trunk.
        owns_trunk: Whether the trunk stands in this group, or only its keys do.
    """

    def __init__(self, vocabulary: int, beginning: Sequence[int], owns_trunk: bool) -> None:
        self._vocabulary = vocabulary
        self.frozen, self.live = _Tokens(), _Tokens()
        self.ends: list[int] = []
        self._prompt: Sequence[int] = ()
        self._path: list[_Token] = []
        start = next((i for i, token in enumerate(beginning) if token >= vocabulary), 0)
        self._extend(beginning if owns_trunk else beginning[:start])
        if not owns_trunk:
            self._path = [*self._path, *(_Token("trunk", i) for i in range(len(beginning) - start))]
        self._prompt = beginning

    def add(self, prompt: Sequence[int]) -> None:
        kept = common_beginning(self._prompt, prompt)
        self._path = self._path[:kept]
        self._extend(prompt[kept:])
        self._prompt = prompt
        self.ends.append(self._path[-1].place)

    def _extend(self, tokens: Sequence[int]) -> None:
        """Append to the path of the last prompt."""
        for token in tokens:
            reached = bool(self._path) and self._path[-1].kind != "frozen"
            kind: Literal["frozen", "live"] = "live" if reached or token >= self._vocabulary else "frozen"
            of_kind = self.live if kind == "live" else self.frozen
            self._path = [*self._path, _Token(kind, len(of_kind.ids))]
            of_kind.ids.append(token)
            of_kind.paths.append(self._path)


def _assemble(groups: Sequence[_Group], trunk: int, order: Sequence[int]) -> PromptTrie:
    """Groups as tensors; padding stands at position 0 and attends to itself, which keeps its softmax defined."""
    n_live, n_frozen = (max(len(tokens.ids) for tokens in kind) for kind in _kinds(groups))
    most = max(len(group.ends) for group in groups)
    columns = {"trunk": 0, "frozen": trunk, "live": trunk + n_frozen}
    classes = [g * most + slot for g, group in enumerate(groups) for slot in range(len(group.ends))]
    live, frozen = _kinds(groups)
    ids, positions, attends = _tensors(live, n_live, columns, trunk + n_frozen)
    frozen_ids, frozen_positions, frozen_attends = _tensors(frozen, n_frozen, {"frozen": 0}, 0)
    return PromptTrie(
        ids=ids,
        positions=positions,
        frozen_ids=frozen_ids,
        frozen_positions=frozen_positions,
        frozen_attends=frozen_attends,
        trunk=trunk,
        attends=attends,
        ends=torch.tensor([group.ends + [0] * (most - len(group.ends)) for group in groups]),
        classes=torch.tensor(classes)[torch.tensor(order).argsort()],
    )


def _kinds(groups: Sequence[_Group]) -> tuple[list[_Tokens], list[_Tokens]]:
    return [group.live for group in groups], [group.frozen for group in groups]


def _tensors(
    groups: Sequence[_Tokens], length: int, columns: dict[str, int], own: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Ids and positions (G, length), and what attends to which column (G, length, own + length)."""
    ids, positions = (torch.zeros(len(groups), length, dtype=torch.int64) for _ in range(2))
    attends = torch.zeros(len(groups), length, own + length, dtype=torch.bool)
    attends[:, :, own:] |= torch.eye(length, dtype=torch.bool)
    for g, tokens in enumerate(groups):
        n = len(tokens.ids)
        ids[g, :n] = torch.tensor(tokens.ids)
        positions[g, :n] = torch.tensor([len(path) - 1 for path in tokens.paths])
        rows = [row for row, path in enumerate(tokens.paths) for _ in path]
        attends[g, rows, [columns[token.kind] + token.place for path in tokens.paths for token in path]] = True
    return ids, positions, attends
