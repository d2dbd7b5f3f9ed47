"""How each kind of object is drawn. Every function paints one thing in the unit square of its brush."""

from collections.abc import Callable

import numpy as np

from dualpt.core.mini.attributes import Attributes
from dualpt.core.mini.canvas import Brush, Colour, Pigments, Plane

DrawFunction = Callable[[Brush, Attributes, Pigments, np.random.Generator], None]

NEARLY_BLACK: Colour = np.full(3, 0.08)
GLASS: Colour = np.array([0.6, 0.8, 0.9])
SKIN: Colour = np.array([0.85, 0.65, 0.5])
TROUSERS: Colour = np.array([0.2, 0.2, 0.3])


def draw_gadget(brush: Brush, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    colour, accent = pigment(attributes["colour"]), pigment(attributes["accent"])
    part = attributes["part"]
    if part == "handle":
        brush.fill(np.abs(brush.circle(0.75, 0, 0.3)) - 0.09, colour * 0.6)
    elif part == "legs":
        legs = np.minimum(brush.box(-0.35, 0.8, 0.09, 0.3), brush.box(0.35, 0.8, 0.09, 0.3))
        brush.fill(legs, colour * 0.6)
    elif part == "antenna":
        brush.fill(np.minimum(brush.box(0, -0.85, 0.06, 0.3), brush.circle(0, -1.1, 0.15)), colour * 0.6)
    outline = gadget_outline(brush, attributes["shape"])
    brush.fill(outline, brush.patterned(attributes["pattern"], colour, accent))


def gadget_outline(brush: Brush, shape: str) -> Plane:
    if shape == "round":
        return brush.circle(0, 0, 0.7)
    if shape == "square":
        return brush.box(0, 0, 0.62, 0.62)
    if shape == "triangular":
        return brush.triangle(0, 0, 0.8, 1.4)
    if shape == "star-shaped":
        reach: Plane = 0.52 + 0.28 * np.cos(5 * np.arctan2(brush.u, -brush.v))
        return np.hypot(brush.u, brush.v) - reach
    if shape == "ring-shaped":
        return np.abs(brush.circle(0, 0, 0.55)) - 0.2
    if shape == "cross-shaped":
        return np.minimum(brush.box(0, 0, 0.25, 0.75), brush.box(0, 0, 0.75, 0.25))
    if shape == "diamond-shaped":
        return (np.abs(brush.u) / 0.6 + np.abs(brush.v) / 0.85 - 1) * 0.5
    return np.maximum(brush.circle(0, 0, 0.75), -brush.circle(0.35, -0.1, 0.6))  # crescent


def draw_pet(brush: Brush, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    colour, accent = pigment(attributes["colour"]), pigment(attributes["accent"])
    if attributes["tail"] == "long":
        brush.fill(brush.stroke((0.55, 0.3), (1.05, -0.55), 0.1), colour)
    else:
        brush.fill(brush.circle(0.75, 0.1, 0.17), colour)
    paws = np.minimum(brush.box(-0.2, 0.75, 0.1, 0.25), brush.box(0.45, 0.75, 0.1, 0.25))
    brush.fill(paws, colour * 0.8)
    coat = brush.patterned(attributes["pattern"], colour, accent, frequency=1.4)
    brush.fill(brush.ellipse(0.12, 0.3, 0.68, 0.42), coat)
    brush.fill(pet_ears(brush, attributes["ears"]), colour * 0.75)
    brush.fill(brush.circle(-0.52, -0.28, 0.4), colour)
    eyes = np.minimum(brush.circle(-0.65, -0.33, 0.07), brush.circle(-0.38, -0.33, 0.07))
    brush.fill(eyes, np.array([0.9, 0.9, 0.3]) if attributes["colour"] == "black" else NEARLY_BLACK)


def pet_ears(brush: Brush, ears: str) -> Plane:
    if ears == "pointed":
        return np.minimum(brush.triangle(-0.75, -0.75, 0.17, 0.45), brush.triangle(-0.28, -0.75, 0.17, 0.45))
    if ears == "round":
        return np.minimum(brush.circle(-0.83, -0.6, 0.2), brush.circle(-0.2, -0.6, 0.2))
    return np.minimum(brush.ellipse(-0.95, -0.15, 0.13, 0.38), brush.ellipse(-0.08, -0.15, 0.13, 0.38))


def draw_car(brush: Brush, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    colour, accent = pigment(attributes["colour"]), pigment(attributes["accent"])
    body = attributes["body"]
    if body == "tall":
        brush.fill(brush.box(0.05, -0.35, 0.5, 0.4), colour)
        brush.fill(brush.box(0.05, -0.4, 0.4, 0.22), GLASS)
    elif body == "low":
        brush.fill(brush.triangle(0.05, -0.15, 0.6, 0.35), colour)
        brush.fill(brush.triangle(0.05, -0.1, 0.35, 0.2), GLASS)
    elif body == "boxy":
        brush.fill(brush.box(0.4, -0.25, 0.52, 0.4), colour * 0.85)
        brush.fill(brush.box(-0.55, -0.15, 0.25, 0.25), colour)
        brush.fill(brush.box(-0.6, -0.2, 0.15, 0.13), GLASS)
    else:
        brush.fill(brush.stroke((-0.35, 0), (-0.2, -0.4), 0.05), GLASS)
        brush.fill(brush.box(0.3, -0.02, 0.12, 0.15), colour * 0.5)
    brush.fill(brush.box(0, 0.2, 0.95, 0.24), brush.patterned(attributes["pattern"], colour, accent, frequency=1.2))
    brush.fill(np.minimum(brush.circle(-0.55, 0.45, 0.26), brush.circle(0.55, 0.45, 0.26)), NEARLY_BLACK)
    hubs = np.minimum(brush.circle(-0.55, 0.45, 0.17), brush.circle(0.55, 0.45, 0.17))
    brush.fill(hubs, pigment(attributes["wheels"]))


def draw_flower(brush: Brush, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    n_petals = {"four": 4, "five": 5, "six": 6, "eight": 8}[attributes["petals"]]
    colour, accent = pigment(attributes["colour"]), pigment(attributes["accent"])
    brush.fill(brush.stroke((0, 0.3), (0.1, 1.2), 0.07), pigment("green"))
    radius = np.hypot(brush.u, brush.v)
    lobes = np.cos(n_petals * np.arctan2(brush.v, brush.u))
    round_petals = attributes["petal_shape"] == "round"
    reach = 0.62 + 0.3 * lobes if round_petals else 0.25 + 0.65 * np.clip(lobes, 0, 1) ** 2
    brush.fill((radius - reach) * 0.7, colour)
    brush.fill(radius - 0.26, accent)


def draw_dish(brush: Brush, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    colour, accent = pigment(attributes["colour"]), pigment(attributes["accent"])
    container = attributes["container"]
    if container == "plate":
        brush.fill(brush.circle(0, 0, 0.95), pigment("white"))
        food = brush.circle(0, 0, 0.68)
    elif container == "bowl":
        brush.fill(brush.circle(0, 0, 0.95), pigment("blue") * 0.7)
        food = brush.circle(0, 0, 0.75)
    else:
        brush.fill(brush.box(0, 0, 0.95, 0.75), pigment("brown") * 0.8)
        food = brush.box(0, 0, 0.72, 0.52)
    brush.fill(food, colour)
    for _ in range(5 if attributes["amount"] == "few" else 13):
        brush.fill(dish_topping(brush, attributes["topping"], rng), accent, within=food)


def dish_topping(brush: Brush, topping: str, rng: np.random.Generator) -> Plane:
    """One piece at a random place."""
    x, y = (float(position) for position in rng.uniform(-0.55, 0.55, 2))
    if topping == "dots":
        return brush.circle(x, y, 0.13)
    if topping == "chunks":
        return brush.box(x, y, 0.15, 0.15)
    angle = rng.uniform(0, np.pi)
    dx, dy = 0.25 * np.cos(angle), 0.25 * np.sin(angle)
    return brush.stroke((x - dx, y - dy), (x + dx, y + dy), 0.055)


def draw_aircraft(brush: Brush, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    """Seen from above, nose to the left."""
    colour, accent = pigment(attributes["colour"]), pigment(attributes["accent"])
    swept = attributes["wings"] == "swept"
    if swept:
        wings = np.minimum(brush.stroke((-0.1, 0), (0.45, -0.95), 0.1), brush.stroke((-0.1, 0), (0.45, 0.95), 0.1))
    elif attributes["wings"] == "straight":
        wings = brush.box(-0.1, 0, 0.13, 0.95)
    else:
        wings = np.maximum(np.abs(brush.v) - (brush.u + 0.45) * 0.85, brush.u - 0.5)
    brush.fill(wings, colour * 0.8)
    places: dict[str, tuple[float, ...]] = {"no": (), "two": (-0.4, 0.4), "four": (-0.7, -0.35, 0.35, 0.7)}
    for y in places[attributes["engines"]]:
        brush.fill(brush.box(0.05 + (0.3 * abs(y) if swept else 0), y, 0.17, 0.07), NEARLY_BLACK)
    brush.fill(brush.ellipse(0, 0, 1.0, 0.17), colour)
    brush.fill(brush.box(-0.2, 0, 0.45, 0.05), accent)
    wide = attributes["tail"] == "wide"
    brush.fill(brush.box(0.85, 0, 0.1, 0.42) if wide else brush.triangle(0.85, -0.25, 0.22, 0.55), accent)


def draw_person(brush: Brush, attributes: Attributes, pigment: Pigments, rng: np.random.Generator) -> None:
    hand_x, hand_y = {"raised": (0.45, -0.85), "spread": (0.85, -0.2), "lowered": (0.4, 0.4)}[attributes["arms"]]
    arms = np.minimum(
        brush.stroke((-0.15, -0.2), (-hand_x, hand_y), 0.08), brush.stroke((0.15, -0.2), (hand_x, hand_y), 0.08)
    )
    brush.fill(arms, SKIN)
    brush.fill(person_legs(brush, attributes["legs"]), TROUSERS)
    brush.fill(brush.box(0, 0.03, 0.22, 0.35), pigment(attributes["colour"]))
    brush.fill(brush.circle(0, -0.55, 0.23), SKIN)
    prop = attributes["prop"]
    if prop == "ball":
        brush.fill(brush.circle(hand_x, hand_y, 0.22), pigment(attributes["prop_colour"]))
    elif prop == "box":
        brush.fill(brush.box(hand_x, hand_y, 0.2, 0.2), pigment(attributes["prop_colour"]))
    elif prop == "stick":
        stick = brush.stroke((hand_x - 0.1, hand_y + 0.3), (hand_x + 0.15, hand_y - 0.5), 0.07)
        brush.fill(stick, pigment(attributes["prop_colour"]))


def person_legs(brush: Brush, legs: str) -> Plane:
    if legs == "apart":
        return np.minimum(brush.stroke((0, 0.3), (-0.55, 1.0), 0.1), brush.stroke((0, 0.3), (0.55, 1.0), 0.1))
    if legs == "straight":
        return np.minimum(brush.stroke((-0.1, 0.3), (-0.12, 1.05), 0.1), brush.stroke((0.1, 0.3), (0.12, 1.05), 0.1))
    bent = np.minimum(brush.stroke((0, 0.3), (0.5, 0.45), 0.1), brush.stroke((0.5, 0.45), (0.45, 1.0), 0.1))
    return np.minimum(bent, brush.stroke((-0.08, 0.3), (-0.1, 1.05), 0.1))


DRAW_OBJECT: dict[str, DrawFunction] = {
    "gadget": draw_gadget,
    "pet": draw_pet,
    "car": draw_car,
    "flower": draw_flower,
    "dish": draw_dish,
    "aircraft": draw_aircraft,
    "person": draw_person,
}
