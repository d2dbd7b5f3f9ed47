from dataclasses import replace

import pytest
import torch

from dualpt.core.errors import UserError
from dualpt.core.methods.choosing import check_every_class, chosen, first_best, hits_by_weight, validation_images
from dualpt.core.methods.training_free.tip_adapter import TipAdapterOptions
from tests.core.methods.clip_like import C, R, clip_like_support


def test_hits_of_a_grid_are_those_of_every_weight_alone() -> None:
    draw = torch.Generator().manual_seed(0)
    base, addition = torch.randn(2, R, 50, C, generator=draw, dtype=torch.float64)
    labels = torch.randint(C, (R, 50), generator=draw)
    weights = torch.linspace(-3, 30, 60, dtype=torch.float64)
    hits = hits_by_weight(base, addition, labels, weights)
    expected = [((base + weight * addition).argmax(-1) == labels).sum(-1) for weight in weights]
    torch.testing.assert_close(hits, torch.stack(expected, dim=1))
    assert len(hits[0].unique()) > 5


def test_a_tie_at_every_weight_is_no_hit() -> None:
    base = torch.tensor([[[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]]])
    hits = hits_by_weight(base, torch.zeros_like(base), torch.tensor([[1, 0]]), torch.tensor([0.0, 5.0]))
    assert hits.tolist() == [[1, 1]]


def test_of_equal_points_the_first_is_kept() -> None:
    assert first_best(torch.tensor([[[1, 3], [3, 2]], [[0, 0], [0, 0]]])) == [(0, 1), (0, 0)]


def test_options_without_validation_images_are_named() -> None:
    with pytest.raises(UserError, match=r"no validation images to choose a\.b and a\.c on; set them \(as x\)"):
        validation_images(clip_like_support(val=False), ["a.b", "a.c"], "as x")


def test_only_what_was_left_undecided_counts_as_chosen() -> None:
    used = [{"alpha": 1.0, "beta": 2.0}, {"alpha": 1.0, "beta": 3.0}]
    assert chosen(TipAdapterOptions(alpha=1.0), used) == [{"beta": 2.0}, {"beta": 3.0}]
    assert chosen(TipAdapterOptions(alpha=1.0, beta=2.0), used) == []


def test_classes_are_counted() -> None:
    support = clip_like_support()
    with pytest.raises(UserError, match="x tells classes apart, and there is only one"):
        check_every_class(replace(support, raw_text=support.raw_text[:1], labels=support.labels * 0), "x")
    with pytest.raises(UserError, match="x needs an image of every class; number 6 of seed 0 has none"):
        check_every_class(replace(support, labels=support.labels % 6), "x")
