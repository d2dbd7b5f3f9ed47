"""How many images of each class SS-Text's scenarios draw, held against a writing in NumPy."""

from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualpt.core.config.sections import DrawKind
from dualpt.core.data.draws.imbalanced import images_per_class
from dualpt.core.data.sampling import draw_few_shot
from dualpt.core.data.splits import Item, Split, make_split


def scenario(available: list[int], k: int, kind: DrawKind) -> list[int]:
    """jusiro/SS-Text@845ba01: the sizes at which `balance_split` cuts classes, by the shares that `adapt.py` gives."""
    counts = np.ones(len(available)) if kind == "standard" else np.array(available)
    shares = counts / np.sum(counts)
    total = len(available) * k
    sizes = [round(total * shares[label]) for label in range(len(available))]
    if kind != "realistic":
        sizes = [max(1, size) for size in sizes]
    over = np.sum(sizes) - total
    while over > 0:
        largest = np.argmax(sizes)
        sizes[largest] = sizes[largest] - 1
        over -= 1
    return sizes


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(1, 16), st.sampled_from(get_args(DrawKind)))
def test_the_scenarios(available: list[int], shots: int, kind: DrawKind) -> None:
    assert images_per_class(available, shots, kind) == scenario(available, shots, kind)


def test_what_they_differ_in() -> None:
    available = [100, 50, 4, 2]
    assert images_per_class(available, 4, "standard") == [4, 4, 4, 4]
    assert images_per_class(available, 4, "relaxed") == [9, 5, 1, 1]
    assert images_per_class(available, 4, "realistic") == [10, 5, 0, 0]


def split(train: str) -> Split:
    parts = {
        part: [Item(f"{part}/{place}.png", int(label), f"class {label}") for place, label in enumerate(labels)]
        for part, labels in (("train", train), ("val", "012012"), ("test", "012"))
    }
    return make_split(parts, Path("x.json"))


TRAIN = "2" + "1" * 4 + "0" * 20


@pytest.mark.parametrize(
    ("kind", "counts"), [("standard", [2, 2, 1]), ("relaxed", [4, 1, 1]), ("realistic", [5, 1, 0])]
)
def test_images_are_drawn_so(kind: DrawKind, counts: list[int]) -> None:
    sample = draw_few_shot(split(TRAIN), 2, 1, kind=kind)
    found = Counter(item.label for item in sample.train)
    assert [found[label] for label in range(3)] == counts
    assert Counter(item.label for item in sample.val) == {0: 2, 1: 2, 2: 2}
    assert len(set(sample.train)) == len(sample.train)
    assert sample == draw_few_shot(split(TRAIN), 2, 1, kind=kind)
    assert sample.train != draw_few_shot(split(TRAIN), 2, 2, kind=kind).train


def test_a_split_of_equal_classes_has_one_kind_of_draw() -> None:
    equal = split("012" * 8)
    drawn = [draw_few_shot(equal, 3, 1, kind=kind) for kind in get_args(DrawKind)]
    assert drawn[0] == drawn[1] == drawn[2]
