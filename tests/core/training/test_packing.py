from hypothesis import given
from hypothesis import strategies as st

from core.packing import common_prefix, pack

prompts = st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=9), min_size=1, max_size=12)


@given(prompts, st.integers(1, 40))
def test_every_class_sees_its_own_prompt_and_nothing_else(prompts, budget):
    packing = pack(prompts, budget)
    n_ends = packing.ends.shape[1]
    for prompt, place in zip(prompts, packing.classes.tolist(), strict=True):
        group, slot = divmod(place, n_ends)
        end = packing.ends[group, slot]
        seen = packing.attends[group, end].nonzero().flatten()
        in_order = seen[packing.positions[group, seen].argsort()]
        assert packing.ids[group, in_order].tolist() == prompt
        assert packing.positions[group, in_order].tolist() == list(range(len(prompt)))
        for place_i, token in enumerate(in_order):
            assert set(packing.attends[group, token].nonzero().flatten().tolist()) == set(
                in_order[: place_i + 1].tolist()
            )


@given(prompts, st.integers(1, 40))
def test_sequences_exceed_the_budget_by_one_class_at_most(prompts, budget):
    prefix = common_prefix(prompts)
    longest = max(map(len, prompts)) - prefix
    assert pack(prompts, budget).ids.shape[1] <= max(budget, prefix + longest) + longest


@given(prompts)
def test_no_row_of_the_mask_is_empty(prompts):
    assert pack(prompts, 12).attends.any(-1).all()


def test_the_prefix_leaves_every_class_a_token_of_its_own():
    assert common_prefix([[1, 2, 3]]) == 2
    assert common_prefix([[1, 2, 3], [1, 2, 3]]) == 2
    assert common_prefix([[1, 2], [1, 2, 3]]) == 1
    assert common_prefix([[1, 2, 9], [1, 3, 9]]) == 1


def test_classes_are_spread_evenly_and_in_order():
    packing = pack([[7, c, 9] for c in range(10)], 9)
    assert packing.ids.tolist() == [
        [7, 0, 9, 1, 9, 2, 9, 3, 9],
        [7, 4, 9, 5, 9, 6, 9, 0, 0],
        [7, 7, 9, 8, 9, 9, 9, 0, 0],
    ]
    assert packing.positions[0].tolist() == [0, 1, 2, 1, 2, 1, 2, 1, 2]
