"""Painting by signed distances: shapes are functions of the distance to their outline, negative inside.

Shape legend: S image side in pixels; every distance field and coordinate plane is (S, S), every image (S, S, 3) with
channels in 0..1. All arithmetic is float64, so last-bit differences between math libraries cannot flip a pixel.
Coordinates run from -1 to 1, u to the right and v downwards.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualpt.core.mini.attributes import PALETTE

Plane = npt.NDArray[np.float64]
"""A distance field or a coordinate of every pixel, (S, S)."""
Colour = npt.NDArray[np.float64]
"""A colour (3,), or one per pixel (S, S, 3)."""
Image = npt.NDArray[np.float64]
"""(S, S, 3), channels in 0..1."""

IMAGE_SIDE = 48
_STEPS = (np.arange(IMAGE_SIDE, dtype=np.float64) + 0.5) / IMAGE_SIDE * 2 - 1
PAGE_U: Plane
PAGE_V: Plane
PAGE_U, PAGE_V = np.meshgrid(_STEPS, _STEPS)


class Pigments:
    """The palette as seen in one object: every colour word gets one jittered shade and keeps it."""

    def __init__(self, rng: np.random.Generator, jitter: float) -> None:
        self._rng = rng
        self._jitter = jitter
        self._shades: dict[str, Colour] = {}

    def __call__(self, word: str) -> Colour:
        if word not in self._shades:
            exact = np.array(PALETTE[word], dtype=np.float64) / 255
            self._shades[word] = np.clip(exact + self._rng.normal(0, self._jitter, 3), 0, 1)
        return self._shades[word]


@dataclass(frozen=True)
class Brush:
    """Paints into an image in the coordinates of one object."""

    image: Image
    u: Plane
    v: Plane
    pixels_per_unit: float

    @classmethod
    def at(cls, image: Image, centre: tuple[float, float], size: float, rotation: float) -> "Brush":
        """A brush whose unit square is `size` half-widths large, turned and moved to `centre`."""
        x, y = (PAGE_U - centre[0]) / size, (PAGE_V - centre[1]) / size
        cosine, sine = np.cos(rotation), np.sin(rotation)
        return cls(image, cosine * x + sine * y, -sine * x + cosine * y, size * IMAGE_SIDE / 2)

    def coverage(self, distance: Plane) -> Plane:
        """How much of each pixel is inside, 0..1: a one-pixel ramp across the outline."""
        return np.clip(0.5 - distance * self.pixels_per_unit, 0, 1)

    def fill(self, distance: Plane, colour: Colour, within: Plane | None = None) -> None:
        """Paint the inside of a shape, limited to the shape `within` if given."""
        alpha = self.coverage(distance)
        if within is not None:
            alpha = alpha * self.coverage(within)
        image = self.image
        image += alpha[..., None] * (colour - image)

    def box(self, x: float, y: float, half_width: float, half_height: float) -> Plane:
        return np.maximum(np.abs(self.u - x) - half_width, np.abs(self.v - y) - half_height)

    def circle(self, x: float, y: float, radius: float) -> Plane:
        return np.hypot(self.u - x, self.v - y) - radius

    def ellipse(self, x: float, y: float, half_width: float, half_height: float) -> Plane:
        scaled = np.hypot((self.u - x) / half_width, (self.v - y) / half_height)
        return (scaled - 1) * min(half_width, half_height)

    def triangle(self, x: float, y: float, half_width: float, height: float) -> Plane:
        """Pointing upwards, (x, y) the middle of its height."""
        below_tip = self.v - (y - height / 2)
        slope = np.abs(self.u - x) - half_width * np.clip(below_tip / height, 0, 1)
        return np.maximum(slope, np.maximum(-below_tip, below_tip - height))

    def stroke(self, start: tuple[float, float], end: tuple[float, float], radius: float) -> Plane:
        """A line with round ends."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        along = ((self.u - start[0]) * dx + (self.v - start[1]) * dy) / (dx * dx + dy * dy + 1e-9)
        along = np.clip(along, 0, 1)
        return np.hypot(self.u - start[0] - along * dx, self.v - start[1] - along * dy) - radius

    def patterned(self, pattern: str, colour: Colour, accent: Colour, frequency: float = 1.0) -> Colour:
        """The colour of every pixel of a patterned surface, (S, S, 3); plain surfaces are the colour itself."""
        if pattern == "plain":
            return colour
        return two_tone(pattern_mask(pattern, self.u, self.v, frequency), colour, accent)


def two_tone(mask: npt.NDArray[np.bool_], colour: Colour, accent: Colour) -> Image:
    """`accent` where the mask holds, `colour` elsewhere."""
    return np.where(mask[..., None], accent, colour)


def pattern_mask(pattern: str, u: Plane, v: Plane, frequency: float) -> npt.NDArray[np.bool_]:
    """Where a pattern has its accent, (S, S)."""
    mask: npt.NDArray[np.bool_]
    if pattern == "striped":
        mask = np.sin(u * 9 * frequency) > 0.1
    elif pattern in ("spotted", "dotted"):
        mask = np.hypot((u * 2.2 * frequency) % 1 - 0.5, (v * 2.2 * frequency) % 1 - 0.5) < 0.3
    elif pattern == "checkered":
        mask = (np.floor(u * 2.4 * frequency) + np.floor(v * 2.4 * frequency)) % 2 < 1
    elif pattern == "zigzag":
        teeth = np.abs((u * 1.5 * frequency) % 1 - 0.5) * 1.08 / frequency
        mask = np.sin((v + teeth) * 9 * frequency) > 0
    elif pattern == "gridded":
        mask = ((u * 2.2 * frequency) % 1 < 0.25) | ((v * 2.2 * frequency) % 1 < 0.25)
    elif pattern == "wavy":
        mask = np.sin((v + 0.18 / frequency * np.sin(u * 7 * frequency)) * 9 * frequency) > 0
    elif pattern == "swirly":
        mask = np.sin(np.hypot(u, v) * 12 * frequency + np.arctan2(v, u)) > 0
    elif pattern == "cracked":
        bent_u = u * 4 * frequency + 2 * np.sin(v * 3.1 * frequency)
        bent_v = v * 3.7 * frequency + 1.7 * np.sin(u * 2.3 * frequency)
        mask = np.abs(np.sin(bent_u) * np.cos(bent_v)) < 0.22
    else:
        raise ValueError(f"unknown pattern {pattern!r}")
    return mask
