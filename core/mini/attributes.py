"""The attributes that make up every drawable thing: kinds, their values, the palette, and drawing them at random.

A thing is a kind and one value for each attribute of that kind, e.g. `flower` with `petals=five, colour=red, ...`.
`colour` is always the main colour and `accent` the second one; the two never coincide.
"""

from collections.abc import Mapping

import numpy as np

Attributes = dict[str, str]

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (210, 40, 40),
    "orange": (235, 140, 40),
    "yellow": (240, 220, 60),
    "green": (60, 160, 60),
    "teal": (40, 170, 170),
    "blue": (50, 80, 210),
    "purple": (130, 60, 170),
    "pink": (240, 150, 190),
    "white": (240, 240, 240),
    "black": (25, 25, 25),
    "brown": (120, 75, 40),
    "gray": (130, 130, 130),
}
COLOURS: tuple[str, ...] = tuple(PALETTE)
BRIGHT_COLOURS: tuple[str, ...] = COLOURS[:8]
PATTERNS: tuple[str, ...] = ("plain", "striped", "spotted", "checkered")

COLOUR_ATTRIBUTES: tuple[str, ...] = ("colour", "accent", "prop_colour")
"""Attributes that a fine-grained dataset narrows to a small shared palette, so that its classes are confusable."""

KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "gadget": {
        "shape": (
            "round",
            "square",
            "triangular",
            "star-shaped",
            "ring-shaped",
            "cross-shaped",
            "diamond-shaped",
            "crescent",
        ),
        "pattern": PATTERNS,
        "colour": COLOURS,
        "accent": COLOURS,
        "part": ("no", "handle", "legs", "antenna"),
    },
    "pet": {
        "colour": ("white", "black", "brown", "gray", "orange", "yellow"),
        "pattern": ("plain", "striped", "spotted"),
        "accent": ("white", "black", "brown", "gray", "orange"),
        "ears": ("pointed", "round", "floppy"),
        "tail": ("long", "short"),
    },
    "car": {
        "body": ("tall", "low", "boxy", "open"),
        "colour": COLOURS,
        "pattern": ("plain", "striped"),
        "accent": COLOURS,
        "wheels": ("black", "white", "red", "yellow"),
    },
    "flower": {
        "petals": ("four", "five", "six", "eight"),
        "petal_shape": ("round", "narrow"),
        "colour": ("red", "orange", "yellow", "blue", "purple", "pink", "white", "teal"),
        "accent": ("yellow", "white", "black", "orange", "green", "brown"),
    },
    "dish": {
        "container": ("plate", "bowl", "board"),
        "colour": ("yellow", "brown", "red", "green", "white", "orange", "pink"),
        "accent": ("red", "green", "yellow", "brown", "white", "black", "orange", "purple"),
        "topping": ("dots", "strips", "chunks"),
        "amount": ("few", "many"),
    },
    "aircraft": {
        "wings": ("swept", "straight", "delta"),
        "engines": ("no", "two", "four"),
        "colour": ("white", "gray", "blue", "red", "yellow", "green"),
        "accent": BRIGHT_COLOURS,
        "tail": ("tall", "wide"),
    },
    "scene": {
        "sky": ("blue", "white", "orange", "black", "purple", "gray"),
        "ground": ("green", "brown", "yellow", "gray", "teal", "white"),
        "element": ("trees", "towers", "hills", "houses", "arches"),
        "colour": COLOURS,
        "amount": ("few", "many"),
    },
    "texture": {
        "pattern": ("striped", "dotted", "checkered", "zigzag", "gridded", "wavy", "swirly", "cracked"),
        "scale": ("fine", "coarse"),
        "colour": COLOURS,
        "accent": COLOURS,
    },
    "tile": {
        "layout": ("fields", "river", "road", "buildings", "forest", "lake", "orchard"),
        "colour": ("green", "brown", "yellow", "gray", "teal", "orange"),
        "accent": ("green", "brown", "yellow", "gray", "blue", "white", "black"),
    },
    "person": {
        "arms": ("raised", "spread", "lowered"),
        "legs": ("apart", "straight", "bent"),
        "prop": ("no", "ball", "stick", "box"),
        "prop_colour": BRIGHT_COLOURS,
        "colour": ("red", "blue", "green", "yellow", "purple", "orange", "white", "black"),
    },
}

FULL_FRAME_KINDS: tuple[str, ...] = ("scene", "texture", "tile")
"""Kinds that fill the image; the others are objects before a background."""

KEY_ATTRIBUTE: dict[str, str] = {
    "gadget": "shape",
    "pet": "pattern",
    "car": "body",
    "flower": "petal_shape",
    "dish": "topping",
    "aircraft": "wings",
    "scene": "element",
    "texture": "pattern",
    "tile": "layout",
    "person": "arms",
}
"""The attribute that a hinted name names."""

Choices = Mapping[str, tuple[str, ...]]


def random_attributes(kind: str, rng: np.random.Generator, narrowed: Choices | None = None) -> Attributes:
    """One value for each attribute of the kind, from `narrowed` where that lists the attribute."""
    choices = {**KINDS[kind], **(narrowed or {})}
    return _separate_colours({name: _pick(values, rng) for name, values in choices.items()}, choices, rng)


def resample(kind: str, attributes: Attributes, probability: float, rng: np.random.Generator) -> Attributes:
    """Each attribute drawn afresh with the given probability: variation within a class, or a mistaken belief."""
    choices = KINDS[kind]
    varied = {
        name: _pick(choices[name], rng) if rng.random() < probability else value for name, value in attributes.items()
    }
    return _separate_colours(varied, choices, rng)


def n_differences(first: Attributes, second: Attributes) -> int:
    """How many attributes of two things of the same kind differ."""
    return sum(first[name] != second[name] for name in first)


def _separate_colours(attributes: Attributes, choices: Choices, rng: np.random.Generator) -> Attributes:
    """Redraw the accent until it differs from the main colour: on its own ground an accent would be invisible."""
    while "accent" in attributes and attributes["accent"] == attributes["colour"]:
        attributes["accent"] = _pick(choices["accent"], rng)
    return attributes


def _pick(values: tuple[str, ...], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]
