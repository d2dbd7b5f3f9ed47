"""Packed prompts against a plain reference, forward and backward, for every option."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualpt.core.descriptions.reading import name_tokens as name_tokens_of
from dualpt.core.errors import UserError
from dualpt.core.prompts import parts, trie
from dualpt.core.prompts.encoder import (
    PromptEncoder,
    arrange,
    check_prompt_lengths,
    initial_contexts,
    without_stop,
)
from tests.core.text_side import text_tower_of

NAMES = ("golden retriever", "cat", "Boeing 737-800", "black and white striped cloth", "sea", "forget-me-not")
WIDTH, JOINT_WIDTH = 64, 32

POSITIONS = ("end", "middle", "front")


def contexts_of(replicas, n_prompts, length, n_classes=None, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    classes = () if n_classes is None else (n_classes,)
    shape = (replicas, *classes, n_prompts, length, WIDTH)
    return (0.3 * torch.randn(shape, generator=generator, dtype=dtype)).requires_grad_()


def gradient(features, contexts):
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2), dtype=features.dtype)
    return torch.autograd.grad((features * weights).sum(), contexts)[0]


def assert_equals_reference(model, tower, reference, names, contexts, position, class_specific, tolerance):
    encoder = PromptEncoder(
        tower,
        names,
        context_length=contexts.shape[-2],
        class_token_position=position,
        class_specific=class_specific,
    )
    encoded = encoder.encode(contexts)
    expected = torch.stack([reference(model, replica, names, position) for replica in contexts])
    assert encoded.shape == (len(contexts), len(names), contexts.shape[-3], JOINT_WIDTH)
    assert (encoded - expected).abs().max() <= tolerance
    assert (gradient(encoded, contexts) - gradient(expected, contexts)).abs().max() <= tolerance


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize(("replicas", "n_prompts", "length"), [(1, 1, 16), (2, 3, 5), (3, 1, 1)])
def test_prompts_in_a_trie_equal_77_positions_a_class(
    double_clip, double_tower, reference_prompts, name_tokens, position, class_specific, replicas, n_prompts, length
):
    contexts = contexts_of(replicas, n_prompts, length, len(NAMES) if class_specific else None)
    assert_equals_reference(
        double_clip, double_tower, reference_prompts, name_tokens, contexts, position, class_specific, 1e-10
    )


@pytest.mark.parametrize("position", POSITIONS)
def test_float32_stays_within_a_hundred_thousandth(clip, tower, reference_prompts, name_tokens, position):
    contexts = contexts_of(2, 2, 8, dtype=torch.float32)
    assert_equals_reference(clip, tower, reference_prompts, name_tokens, contexts, position, False, 1e-5)


words = st.lists(st.sampled_from([320, 1125, 2368]), min_size=1, max_size=4).map(tuple)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(words, min_size=1, max_size=7).map(tuple),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 5)),
    position=st.sampled_from(POSITIONS),
    class_specific=st.booleans(),
    longest_group=st.integers(4, 40),
)
def test_any_names_in_any_number_of_groups(
    double_clip, double_tower, reference_prompts, monkeypatch, names, shape, position, class_specific, longest_group
):
    """Names of three words share their beginnings in every way; groups of a few tokens share the trunk."""
    monkeypatch.setattr(parts, "build_trie", partial(trie.build_trie, longest_group=longest_group))
    contexts = contexts_of(*shape, len(names) if class_specific else None)
    assert_equals_reference(
        double_clip, double_tower, reference_prompts, names, contexts, position, class_specific, 1e-10
    )


@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("tokens", [1, 12, 30])
def test_parts_of_the_classes_give_the_same_numbers(
    double_clip, double_tower, reference_prompts, name_tokens, monkeypatch, class_specific, tokens
):
    monkeypatch.setattr(parts, "CPU_TOKENS", tokens)
    contexts = contexts_of(2, 2, 4, len(NAMES) if class_specific else None)
    assert_equals_reference(
        double_clip, double_tower, reference_prompts, name_tokens, contexts, "end", class_specific, 1e-10
    )


@pytest.mark.parametrize("class_specific", [False, True])
def test_recomputed_activations_give_the_same_numbers(double_tower, name_tokens, monkeypatch, class_specific):
    encoder = PromptEncoder(double_tower, name_tokens, context_length=4, class_specific=class_specific)
    contexts = contexts_of(2, 2, 4, len(NAMES) if class_specific else None)
    whole = encoder.encode(contexts)
    monkeypatch.setattr(parts, "ACTIVATION_BYTES", 1)
    one_by_one = encoder.encode(contexts)
    assert (one_by_one - whole).abs().max() <= 1e-12
    assert (gradient(one_by_one, contexts) - gradient(whole, contexts)).abs().max() <= 1e-12


def kept_bytes(encoder, n_contexts):
    """Bytes that the graph of some contexts keeps for its backward pass, frozen weights and constants included."""
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # alive, so that none is counted twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoder.encode(contexts_of(1, n_contexts, 4, dtype=torch.float32))
    return sum(storage.nbytes() for storage in storages.values())


def test_memory_is_what_the_formula_says(tower, name_tokens):
    encoder = PromptEncoder(tower, name_tokens, context_length=4)
    measured = (kept_bytes(encoder, 6) - kept_bytes(encoder, 2)) / 4  # what does not depend on contexts cancels
    assert encoder.activation_bytes == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize(
    "options",
    [
        {"quick_gelu": True},
        {"norm_kwargs": {"eps": 1e-3}},
    ],
    ids=str,
)
@pytest.mark.parametrize("class_specific", [False, True])
def test_other_text_encoders(make_clip, tokenizer, reference_prompts, name_tokens, options, class_specific):
    model = make_clip(**options).double()
    contexts = contexts_of(2, 2, 4, len(NAMES) if class_specific else None)
    assert_equals_reference(
        model,
        text_tower_of(model, tokenizer),
        reference_prompts,
        name_tokens,
        contexts,
        "middle",
        class_specific,
        1e-10,
    )


def test_one_class_alone(double_clip, double_tower, reference_prompts, name_tokens):
    contexts = contexts_of(1, 2, 4)
    assert_equals_reference(
        double_clip, double_tower, reference_prompts, name_tokens[:1], contexts, "end", False, 1e-10
    )


def test_half_precision_towers_take_and_return_float32(clip, tower, tokenizer, name_tokens):
    contexts = contexts_of(1, 2, 4, dtype=torch.float32)
    half = PromptEncoder(text_tower_of(copy.deepcopy(clip).bfloat16(), tokenizer), name_tokens, context_length=4)
    encoded = half.encode(contexts)
    assert encoded.dtype == torch.float32
    assert gradient(encoded, contexts).dtype == torch.float32
    full = PromptEncoder(tower, name_tokens, context_length=4).encode(contexts)
    assert torch.nn.functional.cosine_similarity(encoded, full, dim=-1).min() > 0.999


def test_no_gradient_is_spent_on_frozen_weights(clip, tower, name_tokens):
    encoded = PromptEncoder(tower, name_tokens, context_length=4).encode(contexts_of(1, 1, 4, dtype=torch.float32))
    encoded.sum().backward()
    assert all(p.grad is None for p in clip.parameters())


def test_arrangements():
    context, name = [1, 2, 3], [8, 9]
    assert arrange(context, name, "end") == [1, 2, 3, 8, 9]
    assert arrange(context, name, "middle") == [1, 8, 9, 2, 3]
    assert arrange(context, name, "front") == [8, 9, 1, 2, 3]


def test_a_prompt_that_does_not_fit_names_the_class_and_the_remedy(tower, name_tokens):
    longest = max(map(len, name_tokens))
    fits = 77 - longest - 2
    check_prompt_lengths(tower, name_tokens, NAMES, fits)
    with pytest.raises(UserError, match=rf"'Boeing 737-800'.* {fits} or fewer") as error:
        check_prompt_lengths(tower, name_tokens, NAMES, fits + 1)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="class 2"):
        PromptEncoder(tower, name_tokens, context_length=fits + 1)


def test_initial_contexts_depend_on_their_own_seed_alone(tower):
    def draw(seeds):
        return initial_contexts(tower, seeds=seeds, n_prompts=2, context_length=4, init_std=0.05)

    together = draw([3, 1, 2])
    assert torch.equal(together[1], draw([1])[0])
    assert not torch.equal(together[0], together[1])
    assert together.std().item() == pytest.approx(0.05, rel=0.2)


def test_class_specific_contexts_differ_between_classes(tower):
    contexts = initial_contexts(tower, seeds=[1], n_prompts=2, context_length=4, n_classes=3)
    assert contexts.shape == (1, 3, 2, 4, WIDTH)
    assert not torch.equal(contexts[0, 0], contexts[0, 1])


def test_contexts_from_words_are_the_words_then_noise(tower, tokenizer):
    words = tower.embed(torch.tensor(tokenizer.encode("a photo of a")))
    contexts = initial_contexts(tower, seeds=[1], n_prompts=2, context_length=6, init="a photo of a")
    first, second = contexts[0]
    assert torch.equal(first[:4], words)
    assert 0 < first[4:].abs().max() < 0.2
    assert 0 < (second[:4] - words).abs().max() < 0.2  # equal prompts would stay equal for ever
    cut = initial_contexts(tower, seeds=[1], n_prompts=1, context_length=2, init="a photo of a")
    assert torch.equal(cut[0, 0], words[:2])


def test_contexts_that_end_in_words_have_zeros_before_them(tower, tokenizer):
    """BeierZhu/Prompt-align@27ddd3b, trainers/prograd.py: `PromptLearner`."""
    words = tower.embed(torch.tensor(tokenizer.encode("a photo of a")))
    start = {"seeds": [1], "init": "a photo of a", "init_at": "end"}
    first, second = initial_contexts(tower, n_prompts=2, context_length=6, **start)[0]
    assert torch.equal(first, torch.cat([torch.zeros(2, WIDTH), words]))
    assert 0 < (second - first).abs().amax(1).min() < 0.2  # noise is added to every token
    cut = initial_contexts(tower, n_prompts=1, context_length=2, **start)
    assert torch.equal(cut[0, 0], words[2:])


@pytest.mark.parametrize("name", ["kite (bird of prey)", "drumstick", "etc.", "St. Bernard"])
@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_prompts_are_tokenised_as_in_coop(tower, tokenizer, name, position):
    """KaiyangZhou/CoOp@ff61507, trainers/coop.py: `PromptLearner` tokenises "X X X X name." and cuts it into pieces."""
    context = [tower.vocabulary + i for i in range(4)]
    text = tokenizer.encode("X X X X " + name + ".")
    suffix, name_len = [*text[4:], tower.end_token], len(tokenizer.encode(name))
    expected = {
        "end": [*context, *suffix],
        "middle": [*context[:2], *suffix[:name_len], *context[2:], *suffix[name_len:]],
        "front": [*suffix[:name_len], *context, *suffix[name_len:]],
    }[position]
    (tokens,) = name_tokens_of(tokenizer, [name])
    ours, stop = without_stop(tokens, tokenizer.encode(".")[0])
    assert [*arrange(context, ours, position), *stop, tower.end_token] == expected
