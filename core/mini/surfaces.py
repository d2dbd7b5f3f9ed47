"""How the kinds that fill the frame are drawn: scenes, textures and tiles seen from above."""

import numpy as np

from dualpt.core.mini.attributes import Attributes
from dualpt.core.mini.canvas import IMAGE_SIDE, PAGE_V, Brush, Colour, Image, Pigments, pattern_mask, two_tone


def draw_surface(
    image: Image, kind: str, attributes: Attributes, pigment: Pigments, rotation: float, rng: np.random.Generator
) -> None:
    """Cover the image with one scene, texture or tile."""
    if kind == "scene":
        draw_scene(image, attributes, pigment, rng)
    elif kind == "texture":
        draw_texture(image, attributes, pigment, rotation, rng)
    else:
        draw_tile(image, attributes, pigment, rng)


def draw_scene(image: Image, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    """Elements along a horizon, upright whatever the rotation."""
    horizon = rng.uniform(-0.05, 0.25)
    image[:] = two_tone(horizon > PAGE_V, pigment(attributes["ground"]), pigment(attributes["sky"]))
    brush = Brush.at(image, (0.0, 0.0), 1.0, 0.0)
    few = attributes["amount"] == "few"
    n_elements = int(rng.integers(2, 4) if few else rng.integers(5, 8))
    places = rng.permutation(np.linspace(-0.85, 0.85, n_elements)) + rng.normal(0, 0.06, n_elements)
    for x in places:
        size = rng.uniform(0.7, 1.15) * (1 if few else 0.75)
        draw_scene_element(brush, attributes, pigment, float(x), float(horizon) + 0.1, float(size), rng)


def draw_scene_element(
    brush: Brush,
    attributes: Attributes,
    pigment: Pigments,
    x: float,
    foot: float,
    size: float,
    rng: np.random.Generator,
) -> None:
    colour, element = pigment(attributes["colour"]), attributes["element"]
    if element == "trees":
        brush.fill(brush.box(x, foot, 0.05, 0.18), pigment("brown") * 0.8)
        brush.fill(brush.triangle(x, foot - 0.4 * size, 0.3 * size, 0.65 * size), colour)
    elif element == "towers":
        brush.fill(brush.box(x, foot - 0.4 * size, 0.13, 0.55 * size), colour)
    elif element == "hills":
        brush.fill(brush.ellipse(x, foot + 0.05, 0.5 * size, 0.42 * size), colour * rng.uniform(0.85, 1.1))
    elif element == "houses":
        brush.fill(brush.box(x, foot - 0.05, 0.22 * size, 0.2 * size), colour)
        brush.fill(brush.triangle(x, foot - 0.38 * size, 0.3 * size, 0.3 * size), pigment("red") * 0.6)
    else:
        arch = np.abs(brush.circle(x, foot, 0.3 * size)) - 0.08
        brush.fill(np.maximum(arch, brush.v - foot), colour)


def draw_texture(
    image: Image, attributes: Attributes, pigment: Pigments, rotation: float, rng: np.random.Generator
) -> None:
    frequency = (1.9 if attributes["scale"] == "fine" else 0.95) * rng.uniform(0.85, 1.15)
    # A swirl has one centre: it must stay near the middle to be seen.
    phase = rng.uniform(-1, 1, 2) * (0.2 if attributes["pattern"] == "swirly" else 1)
    brush = Brush.at(image, (0.0, 0.0), 1.0, rotation)
    mask = pattern_mask(attributes["pattern"], brush.u + phase[0], brush.v + phase[1], frequency)
    image[:] = two_tone(mask, pigment(attributes["colour"]), pigment(attributes["accent"]))


def draw_tile(image: Image, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    """Land from above, in any direction."""
    colour, accent = pigment(attributes["colour"]), pigment(attributes["accent"])
    image[:] = colour
    brush = Brush.at(image, (0.0, 0.0), 1.0, float(rng.uniform(0, np.pi)))
    shift = float(rng.uniform(-0.3, 0.3))
    layout = attributes["layout"]
    if layout == "river":
        bank = np.abs(brush.v - shift - 0.25 * np.sin(brush.u * 3 + shift * 9)) - 0.16
        brush.fill(bank, accent)
    elif layout == "road":
        brush.fill(np.abs(brush.v - shift) - 0.09, accent)
    elif layout == "lake":
        half_width, half_height = rng.uniform(0.45, 0.7), rng.uniform(0.35, 0.6)
        brush.fill(brush.ellipse(shift, 0.2 * shift, half_width, half_height), accent)
    else:
        image[:] = tile_mosaic(brush, layout, shift, colour, accent, rng)


def tile_mosaic(
    brush: Brush, layout: str, shift: float, colour: Colour, accent: Colour, rng: np.random.Generator
) -> Image:
    """The layouts that repeat across the tile."""
    if layout == "fields":
        mask = (np.floor(brush.u * 1.7 + shift) + 2 * np.floor(brush.v * 1.3)) % 3 < 1
    elif layout == "buildings":
        mask = ((brush.u * 2.6 + shift) % 1 < 0.55) & ((brush.v * 2.6) % 1 < 0.55)
    elif layout == "forest":
        crowns = rng.random((IMAGE_SIDE // 3, IMAGE_SIDE // 3)) > 0.5
        mask = np.kron(crowns, np.ones((3, 3), dtype=np.bool_))
    else:  # orchard
        mask = np.hypot((brush.u * 3) % 1 - 0.5, (brush.v * 3) % 1 - 0.5) < 0.3
    return two_tone(mask, colour, accent)
