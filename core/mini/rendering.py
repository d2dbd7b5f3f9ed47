"""From a kind and its attributes to an image: background, distractors, subject, then the camera of the domain."""

import numpy as np
import numpy.typing as npt

from dualpt.core.mini.attributes import COLOURS, FULL_FRAME_KINDS, Attributes, random_attributes
from dualpt.core.mini.canvas import IMAGE_SIDE, PAGE_V, Brush, Image, Pigments, Plane
from dualpt.core.mini.datasets import Domain
from dualpt.core.mini.objects import DRAW_OBJECT
from dualpt.core.mini.surfaces import draw_surface

Pixels = npt.NDArray[np.uint8]
"""One image as stored, (S, S, 3)."""

DISTRACTOR_KINDS: tuple[str, ...] = ("gadget", "flower", "dish", "gadget", "pet", "person")

FOREIGN_CAMERA: npt.NDArray[np.float64] = np.array([[0.5, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.2, 0.5]])
"""Channel mixing of a camera unlike the one of the pretraining images, rows in, columns out."""


def render(kind: str, attributes: Attributes, domain: Domain, rng: np.random.Generator) -> Pixels:
    """Draw one image of a thing as the domain's camera sees it, (S, S, 3) uint8."""
    pigment = Pigments(rng, domain.colour_jitter)
    if kind in FULL_FRAME_KINDS:
        image = np.zeros((IMAGE_SIDE, IMAGE_SIDE, 3))
        rotation = float(rng.normal(0, domain.rotation * 1.5))
        draw_surface(image, kind, attributes, pigment, rotation, rng)
        _cover_with_clutter(image, domain, rng)
    else:
        image = _background(domain, rng)
        size = float(rng.uniform(*domain.size))
        reach = min(domain.offset, max(0.0, 1.05 - size))
        centre = (float(rng.uniform(-reach, reach)), float(rng.uniform(-reach, reach)))
        _surround_with_distractors(image, kind, centre, size, domain, rng)
        brush = Brush.at(image, centre, size, float(rng.normal(0, domain.rotation)))
        DRAW_OBJECT[kind](brush, attributes, pigment, rng)
    return _photograph(image, domain, rng)


def _background(domain: Domain, rng: np.random.Generator) -> Image:
    """A flat, graded or blotchy ground of muted colours."""
    first, second = (Pigments(rng, domain.colour_jitter)(_any_colour(rng)) for _ in range(2))
    style = rng.random()
    if style < 0.4:
        flat = np.zeros((IMAGE_SIDE, IMAGE_SIDE, 3))
        flat[:] = first * 0.5 + 0.5 * rng.uniform(0.3, 0.9)
        return flat
    if style < 0.7:
        blend: Plane = (PAGE_V + 1) / 2
    else:
        blend = rng.random((8, 8)).repeat(IMAGE_SIDE // 8, axis=0).repeat(IMAGE_SIDE // 8, axis=1)
    return (first * (1 - blend[..., None]) + second * blend[..., None]) * 0.6 + 0.25


def _surround_with_distractors(
    image: Image, kind: str, centre: tuple[float, float], size: float, domain: Domain, rng: np.random.Generator
) -> None:
    """Small objects of other kinds, away from the subject where there is room."""
    fewest, most = domain.distractors
    for _ in range(int(rng.integers(fewest, most + 1))):
        other = DISTRACTOR_KINDS[int(rng.integers(len(DISTRACTOR_KINDS)))]
        place = _place_outside(centre, size + 0.1, rng)
        _draw_distractor(image, "gadget" if other == kind else other, place, float(rng.normal(0, 0.3)), domain, rng)


def _cover_with_clutter(image: Image, domain: Domain, rng: np.random.Generator) -> None:
    """On a full frame only a cluttered domain lays objects, since each of them hides a part of the subject."""
    most = domain.distractors[1]
    if most <= 2:
        return
    for _ in range(int(rng.integers(1, most))):
        x, y = rng.uniform(-0.8, 0.8, 2)
        _draw_distractor(image, "gadget", (float(x), float(y)), float(rng.normal(0, 0.3)), domain, rng)


def _draw_distractor(
    image: Image, kind: str, place: tuple[float, float], rotation: float, domain: Domain, rng: np.random.Generator
) -> None:
    brush = Brush.at(image, place, float(rng.uniform(*domain.distractor_size)), rotation)
    DRAW_OBJECT[kind](brush, random_attributes(kind, rng), Pigments(rng, domain.colour_jitter), rng)


def _place_outside(centre: tuple[float, float], distance: float, rng: np.random.Generator) -> tuple[float, float]:
    """A random place at least so far from the centre; after six tries, the last one."""
    for _ in range(6):
        x, y = (float(position) for position in rng.uniform(-0.85, 0.85, 2))
        if np.hypot(x - centre[0], y - centre[1]) > distance:
            break
    return x, y


def _photograph(image: Image, domain: Domain, rng: np.random.Generator) -> Pixels:
    """Camera and sensor: channel mixing, tint, gamma, noise, and rounding to eight bits."""
    if domain.channel_mix > 0:
        mixing = np.eye(3) * (1 - domain.channel_mix) + FOREIGN_CAMERA * domain.channel_mix
        # einsum, not matmul: a BLAS would start threads in every worker and sum in its own order.
        image = np.einsum("hwc,cd->hwd", image, mixing, optimize=False) + np.array(domain.channel_offset)
    image = np.clip(image * (1 + rng.normal(0, domain.tint, 3)), 0, 1)
    image = image ** np.exp(rng.normal(0, domain.gamma)) + rng.normal(0, domain.noise, image.shape)
    # The continuous noise keeps values off the rounding boundaries, so no last-bit difference can change a pixel.
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _any_colour(rng: np.random.Generator) -> str:
    return COLOURS[int(rng.integers(len(COLOURS)))]
