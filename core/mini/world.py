"""The classes of the eleven datasets and everything else that pretraining sees a name for.

A class is a kind, a tuple of attribute values and a pseudo-word for a name. Pretraining meets some names often, some
rarely: that is their familiarity. Labels are dealt so that the first half of a dataset (base) and the second (new) hold
equal shares of kinds, familiarity levels, second meanings and hinted names; neither half is the easier one by design.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from dualpt.core.mini.attributes import (
    COLOUR_ATTRIBUTES,
    KEY_ATTRIBUTE,
    KINDS,
    Attributes,
    Choices,
    n_differences,
    random_attributes,
)
from dualpt.core.mini.datasets import RECIPES, DatasetRecipe

WORLD_SEED = 7
FAMILIARITY_WEIGHTS: tuple[float, ...] = (1.0, 0.45, 0.1)
"""How often pretraining draws a class of each familiarity level, relative to a well-known one."""
SECOND_MEANING_WEIGHT = 0.8
"""How often a name's second meaning is drawn, relative to its first."""
N_OUTSIDERS = 120
"""Named things outside every dataset, so having a name does not mark a downstream class."""
OUTSIDER_WEIGHT = 0.6
PALETTE_SIZE = 4
"""Colours that the classes of a single-kind dataset share."""
MIN_DIFFERENCES = 2
"""Any two classes of one kind in a dataset differ in at least so many attributes."""

FIRST_SYLLABLES = (
    "mar",
    "tor",
    "bel",
    "sil",
    "dra",
    "fen",
    "gor",
    "hal",
    "jin",
    "kel",
    "lum",
    "nor",
    "pel",
    "quo",
    "ras",
    "sor",
    "tam",
    "vel",
    "wyn",
    "zan",
    "bri",
    "cal",
    "dov",
    "elm",
    "fal",
    "gri",
    "hes",
    "ist",
)
SECOND_SYLLABLES = (
    "let",
    "kin",
    "dor",
    "vane",
    "mere",
    "wick",
    "ton",
    "by",
    "nox",
    "ra",
    "lo",
    "sun",
    "dal",
    "fer",
    "gan",
    "hurst",
    "ing",
    "lock",
    "mond",
    "ney",
)

Item = TypeVar("Item")


@dataclass(frozen=True)
class MiniClass:
    """One class of a dataset."""

    name: str
    kind: str
    attributes: Attributes
    familiarity: int
    """0 well known, 1 known a little, 2 hardly known."""


@dataclass(frozen=True)
class NamedThing:
    """Something that pretraining images show and captions name."""

    name: str
    kind: str
    attributes: Attributes
    weight: float
    """How often it is drawn, relative to the others."""


@dataclass(frozen=True)
class World:
    classes: dict[str, tuple[MiniClass, ...]]
    """Dataset name to its classes in label order."""
    named_things: tuple[NamedThing, ...]
    """Every class, every second meaning, every outsider."""


@lru_cache(maxsize=1)
def build_world() -> World:
    """The one world of the mini grid; the same in every process."""
    n_classes = sum(recipe.n_classes for recipe in RECIPES.values())
    names = make_names(n_classes + N_OUTSIDERS, np.random.default_rng([WORLD_SEED, 0]))
    classes: dict[str, tuple[MiniClass, ...]] = {}
    things: list[NamedThing] = []
    start = 0
    for index, (dataset, recipe) in enumerate(RECIPES.items()):
        rng = np.random.default_rng([WORLD_SEED, 1, index])
        own_names = names[start : start + recipe.n_classes]
        made = _make_classes(recipe, own_names, rng)
        things += _things_of(made, recipe, rng)
        classes[dataset] = _relabel(made, np.random.default_rng([WORLD_SEED, 3, recipe.label_seed]))
        start += recipe.n_classes
    things += _outsiders(names[start:], np.random.default_rng([WORLD_SEED, 2]))
    return World(classes, tuple(things))


def make_names(n_names: int, rng: np.random.Generator) -> list[str]:
    """Distinct pseudo-words, a quarter of them of two words, no two sharing the first word."""
    names: dict[str, str] = {}  # first word to name; a dict keeps the order of insertion, a set does not
    while len(names) < n_names:
        first = _pseudo_word(rng)
        second = f" {_pseudo_word(rng)}" if rng.random() < 0.25 else ""
        names.setdefault(first, first + second)
    return list(names.values())


def deal(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    """Deal a sorted sequence alternately to the base and the new half, and shuffle within each half.

    Returns label order: the first ceil(n/2) items are the base half.
    """
    halves = [list(items[0::2]), list(items[1::2])]
    return [half[int(i)] for half in halves for i in rng.permutation(len(half))]


def _make_classes(recipe: DatasetRecipe, names: Sequence[str], rng: np.random.Generator) -> tuple[MiniClass, ...]:
    n = recipe.n_classes
    narrowed = _shared_palette(recipe.kinds[0], rng) if len(recipe.kinds) == 1 else {}
    levels = deal(_familiarity_levels(recipe), rng)
    hinted = deal(_flags(n, recipe.hinted), rng)
    n_base = (n + 1) // 2
    classes: list[MiniClass] = []
    for label in range(n):
        place_in_half = label if label < n_base else label - n_base
        kind = recipe.kinds[place_in_half % len(recipe.kinds)]
        attributes = _distinct_attributes(kind, narrowed, classes, rng)
        name = names[label]
        if hinted[label]:
            name = f"{attributes[KEY_ATTRIBUTE[kind]]} {name.split()[0]}"
        classes.append(MiniClass(name, kind, attributes, levels[label]))
    return tuple(classes)


def _relabel(classes: Sequence[MiniClass], rng: np.random.Generator) -> tuple[MiniClass, ...]:
    """Shuffle which class of a kind has which of that kind's labels: both halves keep their kinds."""
    order = list(range(len(classes)))
    for kind in KINDS:
        labels = [label for label, item in enumerate(classes) if item.kind == kind]
        for label, source in zip(labels, rng.permutation(labels), strict=True):
            order[label] = int(source)
    return tuple(classes[source] for source in order)


def _shared_palette(kind: str, rng: np.random.Generator) -> Choices:
    """A few colours for each colour attribute of the kind."""
    choices = KINDS[kind]
    return {
        name: tuple(choices[name][int(i)] for i in rng.permutation(len(choices[name]))[:PALETTE_SIZE])
        for name in COLOUR_ATTRIBUTES
        if name in choices
    }


def _distinct_attributes(
    kind: str, narrowed: Choices, classes: Sequence[MiniClass], rng: np.random.Generator
) -> Attributes:
    """Attributes that differ enough from every class of the same kind so far."""
    while True:
        attributes = random_attributes(kind, rng, narrowed)
        same_kind = (other for other in classes if other.kind == kind)
        if all(n_differences(attributes, other.attributes) >= MIN_DIFFERENCES for other in same_kind):
            return attributes


def _familiarity_levels(recipe: DatasetRecipe) -> list[int]:
    """A sorted list of levels, in the shares of the recipe; what rounding leaves over goes to the middle level."""
    n_known = round(recipe.familiarity[0] * recipe.n_classes)
    n_hardly = round(recipe.familiarity[2] * recipe.n_classes)
    return [0] * n_known + [1] * (recipe.n_classes - n_known - n_hardly) + [2] * n_hardly


def _flags(n: int, share: float) -> list[bool]:
    return [index < round(share * n) for index in range(n)]


def _things_of(classes: Sequence[MiniClass], recipe: DatasetRecipe, rng: np.random.Generator) -> list[NamedThing]:
    """What pretraining shows under the names of a dataset: the classes, and the second meanings of some names."""
    things = [
        NamedThing(item.name, item.kind, item.attributes, FAMILIARITY_WEIGHTS[item.familiarity]) for item in classes
    ]
    ambiguous = deal(_flags(len(classes), recipe.second_meaning), rng)
    for thing, has_second_meaning in list(zip(things, ambiguous, strict=True)):
        if has_second_meaning:
            kind = _any_kind(rng, other_than=thing.kind)
            attributes = random_attributes(kind, rng)
            things.append(NamedThing(thing.name, kind, attributes, thing.weight * SECOND_MEANING_WEIGHT))
    return things


def _outsiders(names: Sequence[str], rng: np.random.Generator) -> list[NamedThing]:
    things = []
    for name in names:
        kind = _any_kind(rng)
        things.append(NamedThing(name, kind, random_attributes(kind, rng), OUTSIDER_WEIGHT))
    return things


def _any_kind(rng: np.random.Generator, other_than: str | None = None) -> str:
    kinds = [kind for kind in KINDS if kind != other_than]
    return kinds[int(rng.integers(len(kinds)))]


def _pseudo_word(rng: np.random.Generator) -> str:
    first = FIRST_SYLLABLES[int(rng.integers(len(FIRST_SYLLABLES)))]
    return first + SECOND_SYLLABLES[int(rng.integers(len(SECOND_SYLLABLES)))]
