"""Every kind draws, and every attribute value leaves a mark."""

import numpy as np
import pytest

from dualpt.core.mini.attributes import KINDS, Attributes, random_attributes
from dualpt.core.mini.datasets import Domain
from dualpt.core.mini.rendering import render

STILL = Domain(distractors=(0, 0), rotation=0.0, colour_jitter=0.0, tint=0.0, gamma=0.0, noise=1e-4)
"""A camera that changes nothing, so that two images differ by what they show."""


def pixels(kind: str, attributes: Attributes) -> np.ndarray:
    return render(kind, attributes, STILL, np.random.default_rng(5)).astype(int)


@pytest.mark.parametrize(("kind", "attribute"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_every_attribute_value_is_visible(kind: str, attribute: str) -> None:
    attributes = random_attributes(kind, np.random.default_rng(1))
    # What shows an attribute only together with another one.
    if "pattern" in attributes and kind != "texture":
        attributes["pattern"] = "striped"
    if kind == "person":
        attributes["prop"] = "ball"
    variants = [{**attributes, attribute: value} for value in KINDS[kind][attribute]]
    images = [pixels(kind, variant) for variant in variants]
    for number, image in enumerate(images):
        for other in images[:number]:
            assert (np.abs(image - other).max(-1) > 20).sum() >= 3


def test_images_are_bytes_and_repeatable() -> None:
    attributes = random_attributes("pet", np.random.default_rng(0))
    first, second = (render("pet", attributes, Domain(), np.random.default_rng([1, 2])) for _ in range(2))
    assert first.shape == (48, 48, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
