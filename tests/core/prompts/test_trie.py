"""A trie is right where each class, followed through its mask, reads its own prompt; and small where it can be."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dualpt.core.prompts.encoder import arrange
from dualpt.core.prompts.grouping import common_beginning, parts_of_equal_length
from dualpt.core.prompts.trie import build_trie

VOCABULARY, END = 5, 4


@st.composite
def prompt_lists(draw):
    """Prompts as `PromptEncoder` lays them out, with names of few letters so that many beginnings are shared."""
    names = draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), min_size=1, max_size=12))
    length, position = draw(st.integers(1, 4)), draw(st.sampled_from(["end", "middle", "front"]))
    specific = draw(st.booleans())
    contexts = [
        range(VOCABULARY + c * length * specific, VOCABULARY + c * length * specific + length) for c in range(12)
    ]
    return [[0, *arrange(contexts[c], name, position), 1, END] for c, name in enumerate(names)]


budgets = st.integers(1, 40)


def trie_of(prompts, longest_group=256):
    return build_trie(prompts, vocabulary=VOCABULARY, width=8, longest_group=longest_group)


def keys_of(trie, group):
    """Ids and positions of a group's keys: trunk, frozen, live."""
    parts = [(trie.ids[0, : trie.trunk], trie.positions[0, : trie.trunk])]
    parts += [(trie.frozen_ids[group], trie.frozen_positions[group])]
    parts += [(trie.ids[group], trie.positions[group])]
    ids, positions = (torch.cat(part) for part in zip(*parts, strict=True))
    return ids, positions


@given(prompt_lists(), budgets)
def test_every_class_sees_its_own_prompt_and_nothing_else(prompts, budget):
    trie = trie_of(prompts, budget)
    n_ends, n_live = trie.ends.shape[1], trie.ids.shape[1]
    for prompt, place in zip(prompts, trie.classes.tolist(), strict=True):
        group, slot = divmod(place, n_ends)
        ids, positions = keys_of(trie, group)
        own = len(ids) - n_live
        seen = trie.attends[group, trie.ends[group, slot]].nonzero().flatten()
        in_order = seen[positions[seen].argsort()]
        assert ids[in_order].tolist() == prompt
        assert positions[in_order].tolist() == list(range(len(prompt)))
        for length, key in enumerate(in_order.tolist(), start=1):
            if key >= own:  # a live token sees the prompt up to itself
                assert trie.attends[group, key - own].nonzero().flatten().tolist() == sorted(in_order[:length].tolist())
            elif key >= trie.trunk:  # a frozen one too, among the frozen
                frozen = [k - trie.trunk for k in in_order[:length].tolist()]
                assert trie.frozen_attends[group, key - trie.trunk].nonzero().flatten().tolist() == sorted(frozen)
                assert ids[key] < VOCABULARY
            else:  # the trunk's own rows stand in group 0, whose live tokens come after its keys
                assert trie.attends[0, key].nonzero().flatten().max() == own_of(trie) + key


def own_of(trie):
    return trie.attends.shape[2] - trie.ids.shape[1]


@given(prompt_lists(), budgets)
def test_groups_keep_to_the_budget_unless_one_class_is_longer(prompts, budget):
    assert trie_of(prompts, budget).ids.shape[1] <= max(budget, *map(len, prompts))


@given(prompt_lists(), budgets)
def test_no_row_of_a_mask_is_empty(prompts, budget):
    trie = trie_of(prompts, budget)
    assert trie.attends.any(-1).all()
    assert trie.frozen_attends.any(-1).all()


@given(prompt_lists())
def test_in_one_group_no_beginning_stands_twice(prompts):
    trie = trie_of(prompts)
    if len(trie.ids) == 1:
        beginnings = {tuple(prompt[:n]) for prompt in prompts for n in range(1, len(prompt) + 1)}
        live = [b for b in beginnings if max(b) >= VOCABULARY]
        assert trie.ids.shape[1] == len(live)
        assert trie.frozen_ids.shape[1] == len(beginnings) - len(live)


def test_the_trunk_stands_once_and_names_share_their_beginnings():
    names = [[1, 2, 3], [1, 2, 1], [2], [2, 2]]
    trie = trie_of([[0, *range(5, 9), *name, 1, END] for name in names], longest_group=12)
    assert trie.trunk == 4
    assert trie.ids.tolist() == [
        [5, 6, 7, 8, 2, 1, END, 2, 1, END],
        [1, 2, 1, 1, END, 3, 1, END, 0, 0],
    ]
    assert trie.positions[1].tolist() == [5, 6, 7, 8, 9, 7, 8, 9, 0, 0]
    assert trie.frozen_ids.tolist() == [[0], [0]]
    assert trie.classes.tolist() == [3, 2, 0, 1]


def test_small_prompts_fill_the_room_beside_large_ones():
    long, short = [[letter] * 9 for letter in (1, 2)], [[3], [4]]
    prompts = [[0, 5, *name, 7, END] for name in (*long, *short)]
    trie = build_trie(prompts, vocabulary=VOCABULARY, width=512, longest_group=15)
    first, second = trie.ids.tolist()
    assert (first[0], first[1], first[12]) == (5, 1, 3)
    assert (second[0], second[11], second[14]) == (2, 4, 0)  # padding in one place only


@given(prompt_lists(), st.integers(1, 60))
def test_parts_hold_every_prompt_once_and_stay_near_their_size(prompts, at_most):
    parts = parts_of_equal_length(prompts, vocabulary=VOCABULARY, at_most=at_most)
    assert sorted(c for part in parts for c in part) == list(range(len(prompts)))
    longest = max(map(len, prompts))
    for part in parts:
        beginnings = {tuple(prompts[c][:n]) for c in part for n in range(1, len(prompts[c]) + 1)}
        assert sum(max(beginning) >= VOCABULARY for beginning in beginnings) <= at_most + 2 * longest


def test_prompts_that_fit_stay_in_one_part():
    assert parts_of_equal_length([[0, 5, 1, END], [0, 5, 2, END]], vocabulary=VOCABULARY, at_most=5) == [[0, 1]]


def test_names_in_front_are_frozen():
    trie = trie_of([[0, 1, 2, 5, 6, 1, END], [0, 1, 3, 5, 6, 1, END]])
    assert trie.trunk == 0
    assert trie.frozen_ids.tolist() == [[0, 1, 2], [0, 1, 3]]
    assert trie.ids.tolist() == [[5, 6, 1, END]] * 2


def test_common_beginnings():
    assert common_beginning([1, 2, 3], [1, 2, 4]) == 2
    assert common_beginning([1, 2], [1, 2, 4]) == 2
    assert common_beginning([1], [2]) == 0
