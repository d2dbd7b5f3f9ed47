"""The classes of the mini grid: distinct, balanced between base and new, and describable with known words."""

import numpy as np
import pytest

from dualpt.core.mini.datasets import IMAGES_PER_CLASS, MINI_DATASETS, RECIPES, TEMPLATES, folder_name, split_file_name
from dualpt.core.mini.language import N_DESCRIPTIONS, caption, describe, with_opening
from dualpt.core.mini.pretrain import CaptionTokenizer
from dualpt.core.mini.world import MIN_DIFFERENCES, MiniClass, build_world, deal


def halves(classes: tuple[MiniClass, ...]) -> tuple[tuple[MiniClass, ...], tuple[MiniClass, ...]]:
    n_base = (len(classes) + 1) // 2
    return classes[:n_base], classes[n_base:]


def test_names_follow_the_field() -> None:
    assert len(MINI_DATASETS) == 11
    assert folder_name("mini-pets") == "mini_pets"
    assert split_file_name("mini-pets") == "split_zhou_MiniPets.json"
    assert all(template.count("{}") == 1 for template in TEMPLATES.values())
    assert tuple(RECIPES) == MINI_DATASETS
    assert IMAGES_PER_CLASS["train"] >= 16
    assert IMAGES_PER_CLASS["val"] >= 4


@pytest.mark.parametrize("dataset", MINI_DATASETS)
def test_classes_are_distinct(dataset: str) -> None:
    classes = build_world().classes[dataset]
    assert len(classes) == RECIPES[dataset].n_classes
    assert len({item.name for item in classes}) == len(classes)
    for number, first in enumerate(classes):
        for second in classes[:number]:
            if first.kind == second.kind:
                differing = [a for a in first.attributes if first.attributes[a] != second.attributes[a]]
                assert len(differing) >= MIN_DIFFERENCES


@pytest.mark.parametrize("dataset", MINI_DATASETS)
def test_base_and_new_are_dealt_alike(dataset: str) -> None:
    base, new = halves(build_world().classes[dataset])
    for level in range(3):
        counts = [sum(item.familiarity == level for item in half) for half in (base, new)]
        assert abs(counts[0] - counts[1]) <= 1
    for kind in RECIPES[dataset].kinds:
        counts = [sum(item.kind == kind for item in half) for half in (base, new)]
        assert abs(counts[0] - counts[1]) <= 1


def test_no_two_classes_of_the_grid_share_a_name() -> None:
    names = [item.name for classes in build_world().classes.values() for item in classes]
    assert len(set(names)) == len(names)


def test_deal_splits_a_sorted_sequence_evenly() -> None:
    dealt = deal([0, 0, 0, 1, 1, 2, 2], np.random.default_rng(0))
    assert sorted(dealt[:4]) == [0, 0, 1, 2]
    assert sorted(dealt[4:]) == [0, 1, 2]


def test_descriptions_use_only_words_that_captions_use() -> None:
    tokenizer = CaptionTokenizer()
    for index, classes in enumerate(build_world().classes.values()):
        for label, item in enumerate(classes):
            sentences = describe(item, index, label)
            assert len(sentences) == N_DESCRIPTIONS
            assert sum(item.name in sentence for sentence in sentences) == 3
            tokenizer(sentences)  # a token outside the captions' vocabulary is a KeyError


def test_every_caption_lies_in_the_trimmed_vocabulary() -> None:
    tokenizer, rng = CaptionTokenizer(), np.random.default_rng(0)
    for thing in build_world().named_things:
        for name in (thing.name, None):
            texts = [with_opening(caption(thing.kind, thing.attributes, name, rng), rng) for _ in range(5)]
            tokens = tokenizer(texts)
            assert tokens.max() == len(tokenizer.rows) - 1  # the end token, found by argmax
