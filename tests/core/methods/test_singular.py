"""Features whose covariances and Gram matrices are singular: finite logits all the same, or one line."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpt.core.errors import UserError
from dualpt.core.method_catalog import load_method
from dualpt.core.methods.interface import Images, Support
from tests.core.methods.clip_like import C, V, as_images, clip_like_support

INVERTING = ("gda", "gda-image", "least-squares", "lp-plus-plus", "prolip", "proker", "rla", "ss-text", "clap")
"""They invert, decompose or divide by what these features make zero."""
FLAT = 8


def _without_columns(hidden: Tensor, projection: Tensor) -> Images:
    """Half of the joint features are 0 in every image."""
    raw = as_images(hidden, projection).raw.clone()
    raw[..., :FLAT] = 0
    return Images(F.normalize(raw, dim=-1), raw.norm(dim=-1), hidden)


def _one_image_again(hidden: Tensor, projection: Tensor) -> Images:
    """Every image is the same."""
    return as_images(hidden[:1, :1, :1].expand_as(hidden).clone(), projection)


def _views_alike(hidden: Tensor, projection: Tensor) -> Images:
    """Every view of an image is the same, so a class's rows are copies of one."""
    return as_images(hidden[:, :1].expand_as(hidden).clone(), projection)


SINGULAR = (_without_columns, _one_image_again, _views_alike)


def support_of(kind: object, n_images: int) -> Support:
    support = clip_like_support(n_images=n_images)
    assert support.images.hidden is not None
    assert support.projection is not None
    assert callable(kind)
    return replace(support, images=kind(support.images.hidden, support.projection))


@pytest.mark.parametrize("n_images", [C, 2 * C])
@pytest.mark.parametrize("kind", SINGULAR)
@pytest.mark.parametrize("name", INVERTING)
def test_singular_features_give_finite_logits_or_one_line(name: str, kind: object, n_images: int) -> None:
    """One image per class, and two."""
    loaded = load_method(name)
    support = support_of(kind, n_images)
    assert support.images.directions.shape[1] == V
    if name.startswith("gda") and (kind is _one_image_again or (kind is _views_alike and n_images == C)):
        with pytest.raises(UserError, match="no class has two different rows, so the covariance is zero"):
            loaded.instance.fit(support, [loaded.options({})] * 3)
        return
    fitted = loaded.instance.fit(support, [loaded.options({})] * 3)
    assert not any(fitted.failures)
    assert support.val is not None
    logits = fitted.classifier.logits(support.val.images.at(0))
    assert logits.isfinite().all()
    assert all(
        tensor.isfinite().all() for tensor in fitted.classifier.tensors().values() if torch.is_floating_point(tensor)
    )
