"""The shared recipe, against gradients by finite differences; RLA's and ProLIP's tests hold it against a plain loop."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dualpt.core.errors import UserError
from dualpt.core.methods.adapters.prolip import Prolip, ProlipOptions
from dualpt.core.methods.adapters.rla import Rla, RlaOptions
from dualpt.core.methods.projection import ProjectedClassifier, ProjectionOptions, fit_projection, projection_losses
from tests.core.methods.clip_like import C, D, R, clip_like_support

EYE = torch.eye(D)


def test_gradients_are_those_of_finite_differences() -> None:
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    projection = normal(2, 5, 4).requires_grad_()
    labels = torch.tensor([[0, 1, 2], [2, 0, 0]])
    fixed = (normal(5, 4), normal(2, 3, 5), labels, normal(3, 4), torch.tensor([0.5, 2.0], dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda p: projection_losses(p, *fixed), projection)


def test_cells_of_a_pack_may_differ_in_learning_rate_and_anchor() -> None:
    support = clip_like_support()
    options = [
        ProjectionOptions(learning_rate=rate, anchor=anchor, steps=5)
        for rate, anchor in ((1e-3, 1.0), (1e-2, 1.0), (1e-2, 50.0))
    ]
    packed = fit(support.images.directions, support, options)
    for r in range(R):
        alone = fit(support.images.directions, support, [options[r]] * R)
        torch.testing.assert_close(packed[r], alone[r], rtol=0, atol=1e-6)
    assert (packed[1] - packed[2]).abs().max() > 1e-3


def fit(features: Tensor, support, options) -> Tensor:  # type: ignore[no-untyped-def]
    return fit_projection("x", ProjectedClassifier, features, EYE, support, options).classifier.tensors()["projection"]


def test_a_loss_that_is_not_finite_fails_its_cell_alone() -> None:
    support = clip_like_support()
    features = support.images.directions.clone()
    features[1] = torch.nan
    fitted = fit_projection("x", ProjectedClassifier, features, EYE, support, [ProjectionOptions(steps=3)] * R)
    assert [failure is None for failure in fitted.failures] == [True, False, True]
    assert [len(losses) for losses in fitted.losses] == [3] * R


@pytest.mark.parametrize(
    ("steps", "views", "read"), [(300, 20, 20), (19, 20, 20), (18, 20, 19), (1, 20, 2), (1, 1, 1), (5, 0, 0)]
)
def test_crops_that_no_step_sees_are_not_asked_for(steps: int, views: int, read: int) -> None:
    assert Rla().needs(RlaOptions(steps=steps, views=views)).views == read
    assert Prolip().needs(ProlipOptions(steps=steps, views=views)).views == read


def test_crops_that_are_not_asked_for_change_nothing() -> None:
    support = clip_like_support()
    features = support.images.directions.repeat(1, 3, 1, 1)
    features = features + torch.randn(features.shape, generator=torch.Generator().manual_seed(1)) / 10
    options = [ProjectionOptions(steps=2, views=features.shape[1], learning_rate=1e-2)] * R
    read = options[0].views_read
    assert (read, features.shape[1] > read) == (3, True)
    assert torch.equal(fit(features[:, :read], support, options), fit(features, support, options))


def test_one_class_and_classes_without_images_are_refused() -> None:
    support = clip_like_support()
    with pytest.raises(UserError, match="x needs an image of every class"):
        fit(support.images.directions, replace(support, labels=support.labels % (C - 1)), [ProjectionOptions()] * R)
    one = replace(support, raw_text=support.raw_text[:1], labels=support.labels * 0)
    with pytest.raises(UserError, match="only one"):
        fit(support.images.directions, one, [ProjectionOptions()] * R)
