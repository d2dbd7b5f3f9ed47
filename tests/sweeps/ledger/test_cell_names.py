"""Cells by their places, where a trial's own name holds slashes."""

import pytest

from dualpt.sweeps.ledger.cell_names import split_place

TRIALS = {"ViT-B/16", "ViT-B", "ViT-B/16/x", "best"}


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        ("", []),
        ("best", ["best"]),
        ("best/mini-pets/4/1", ["best", "mini-pets", "4", "1"]),
        ("ViT-B/16", ["ViT-B/16"]),
        ("ViT-B/16/mini-pets/16/1", ["ViT-B/16", "mini-pets", "16", "1"]),
        ("ViT-B/mini-pets", ["ViT-B", "mini-pets"]),
        ("ViT-B/16/x", ["ViT-B/16/x"]),
        ("bes/mini-pets", ["bes", "mini-pets"]),
    ],
)
def test_a_place_is_split_at_the_trials_name(place: str, parts: list[str]) -> None:
    assert split_place(place, TRIALS) == parts
