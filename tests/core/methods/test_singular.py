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

INVERTING: dict[str, dict[str, object]] = {
    "gda": {},
    "gda, class-mean": {"covariance": "class-mean"},
    "gda-image": {},
    "least-squares": {},
    "lp-plus-plus": {},
    "prolip": {"steps": 3},
    "proker": {},
    "rla": {"steps": 3},
    "ss-text": {},
    "clap": {"epochs": 3},
}
"""They invert, decompose or divide by what these features make zero."""
DESCENDING: dict[str, dict[str, object]] = {
    "linear-probe": {"inverse_penalty": 1.0},
    "zs-lp": {"epochs": 3},
    "taskres": {"epochs": 3},
    "clip-adapter": {"epochs": 3},
    "tip-adapter-f": {"epochs": 3, "key_views": 2},
}
"""They take gradient steps, of which a few show what a flat direction does."""
OPTIONS = {**INVERTING, **DESCENDING}
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
@pytest.mark.parametrize("case", OPTIONS)
def test_singular_features_give_finite_logits_or_one_line(case: str, kind: object, n_images: int) -> None:
    """One image per class, and two."""
    loaded = load_method(case.partition(",")[0])
    support = support_of(kind, n_images)
    assert support.images.directions.shape[1] == V
    if case.startswith("gda") and (kind is _one_image_again or (kind is _views_alike and n_images == C)):
        with pytest.raises(UserError, match="no class has two different rows, so the covariance is zero"):
            loaded.instance.fit(support, [loaded.options(OPTIONS[case])] * 3)
        return
    fitted = loaded.instance.fit(support, [loaded.options(OPTIONS[case])] * 3)
    assert not any(fitted.failures)
    assert support.val is not None
    logits = fitted.classifier.logits(support.val.images.at(0))
    assert logits.isfinite().all()
    assert all(
        tensor.isfinite().all() for tensor in fitted.classifier.tensors().values() if torch.is_floating_point(tensor)
    )
