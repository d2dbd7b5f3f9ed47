"""Packings are right where each class, followed through its mask, reads its own prompt; and small where they can be."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dualpt.core.prompts.encoder import arrange
from dualpt.core.prompts.grouping import common_beginning, parts_of_equal_length
from dualpt.core.prompts.trie import pack

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


def packed(prompts, longest_group=256):
    return pack(prompts, vocabulary=VOCABULARY, width=8, longest_group=longest_group)


def keys_of(packing, group):
    """Ids and positions of a group's keys: trunk, frozen, live."""
    parts = [(packing.ids[0, : packing.trunk], packing.positions[0, : packing.trunk])]
    parts += [(packing.frozen_ids[group], packing.frozen_positions[group])]
    parts += [(packing.ids[group], packing.positions[group])]
    ids, positions = (torch.cat(part) for part in zip(*parts, strict=True))
    return ids, positions


@given(prompt_lists(), budgets)
def test_every_class_sees_its_own_prompt_and_nothing_else(prompts, budget):
    packing = packed(prompts, budget)
    n_ends, n_live = packing.ends.shape[1], packing.ids.shape[1]
    for prompt, place in zip(prompts, packing.classes.tolist(), strict=True):
        group, slot = divmod(place, n_ends)
        ids, positions = keys_of(packing, group)
        own = len(ids) - n_live
        seen = packing.attends[group, packing.ends[group, slot]].nonzero().flatten()
        in_order = seen[positions[seen].argsort()]
        assert ids[in_order].tolist() == prompt
        assert positions[in_order].tolist() == list(range(len(prompt)))
        for length, key in enumerate(in_order.tolist(), start=1):
            if key >= own:  # a live token sees the prompt up to itself
                assert packing.attends[group, key - own].nonzero().flatten().tolist() == sorted(
                    in_order[:length].tolist()
                )
            elif key >= packing.trunk:  # a frozen one too, among the frozen
                frozen = [k - packing.trunk for k in in_order[:length].tolist()]
                assert packing.frozen_attends[group, key - packing.trunk].nonzero().flatten().tolist() == sorted(frozen)
                assert ids[key] < VOCABULARY
            else:  # the trunk's own rows stand in group 0, whose live tokens come after its keys
                assert packing.attends[0, key].nonzero().flatten().max() == own_of(packing) + key


def own_of(packing):
    return packing.attends.shape[2] - packing.ids.shape[1]


@given(prompt_lists(), budgets)
def test_groups_keep_to_the_budget_unless_one_class_is_longer(prompts, budget):
    assert packed(prompts, budget).ids.shape[1] <= max(budget, *map(len, prompts))


@given(prompt_lists(), budgets)
def test_no_row_of_a_mask_is_empty(prompts, budget):
    packing = packed(prompts, budget)
    assert packing.attends.any(-1).all()
    assert packing.frozen_attends.any(-1).all()


@given(prompt_lists())
def test_in_one_group_no_beginning_stands_twice(prompts):
    packing = packed(prompts)
    if len(packing.ids) == 1:
        beginnings = {tuple(prompt[:n]) for prompt in prompts for n in range(1, len(prompt) + 1)}
        live = [b for b in beginnings if max(b) >= VOCABULARY]
        assert packing.ids.shape[1] == len(live)
        assert packing.frozen_ids.shape[1] == len(beginnings) - len(live)


def test_the_trunk_stands_once_and_names_share_their_beginnings():
    names = [[1, 2, 3], [1, 2, 1], [2], [2, 2]]
    packing = packed([[0, *range(5, 9), *name, 1, END] for name in names], longest_group=12)
    assert packing.trunk == 4
    assert packing.ids.tolist() == [
        [5, 6, 7, 8, 2, 1, END, 2, 1, END],
        [1, 2, 1, 1, END, 3, 1, END, 0, 0],
    ]
    assert packing.positions[1].tolist() == [5, 6, 7, 8, 9, 7, 8, 9, 0, 0]
    assert packing.frozen_ids.tolist() == [[0], [0]]
    assert packing.classes.tolist() == [3, 2, 0, 1]


def test_small_prompts_fill_the_room_beside_large_ones():
    long, short = [[letter] * 9 for letter in (1, 2)], [[3], [4]]
    prompts = [[0, 5, *name, 7, END] for name in (*long, *short)]
    packing = pack(prompts, vocabulary=VOCABULARY, width=512, longest_group=15)
    first, second = packing.ids.tolist()
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
    packing = packed([[0, 1, 2, 5, 6, 1, END], [0, 1, 3, 5, 6, 1, END]])
    assert packing.trunk == 0
    assert packing.frozen_ids.tolist() == [[0, 1, 2], [0, 1, 3]]
    assert packing.ids.tolist() == [[5, 6, 1, END]] * 2


def test_common_beginnings():
    assert common_beginning([1, 2, 3], [1, 2, 4]) == 2
    assert common_beginning([1, 2], [1, 2, 4]) == 2
    assert common_beginning([1], [2]) == 0
