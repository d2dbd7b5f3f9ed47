"""Measuring how fast images are decoded and encoded."""

from dualpt.core.features.encoding import measure_pace
from tests.core.features.tiny import NAME


def test_one_image_can_be_measured(store, backbone, image_root, items) -> None:
    missing, _ = store.missing(backbone, NAME, image_root, items[:1], "value")
    assert measure_pace(backbone, image_root, missing, "value", None) > 0
