"""ProLIP: the image tower's last projection, trained near CLIP's.

    logits = s norm(h P) T^T,   loss = cross-entropy + (1/K) |P - P_0|_F^2

h (n, W) features before the projection, P (W, D), P_0 CLIP's, T (C, D) normalised text features; K shots; s CLIP's
scale. See `projection` for the recipe. The authors compute in half precision; here it is single.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dualpt.core.methods.interface import Classifier, Fitted, Images, Method, Needs, Support
from dualpt.core.methods.projection import (
    PACKABLE,
    ProjectedClassifier,
    ProjectionOptions,
    fit_projection,
    with_classes,
)


class ProlipOptions(ProjectionOptions):
    """Those of the shared recipe."""


@dataclass(frozen=True)
class HiddenClassifier(ProjectedClassifier):
    """The same, of features before the projection."""

    def read(self, images: Images) -> Tensor:
        return hidden_of(images)


class Prolip(Method[ProlipOptions]):
    name = "prolip"
    title = "ProLIP"
    short_title = "ProLIP"
    group = "adapter"
    source = "arXiv 2410.05270; astra-vision/ProLIP@b43e795: methods/ProLIP.py"
    protocols = frozenset({"few-shot", "base-to-new", "cross-dataset", "domain-generalization"})
    every_class = True
    options = ProlipOptions
    packable = PACKABLE

    def needs(self, options: ProlipOptions) -> Needs:
        return Needs(views=options.views_read, min_crop_area=options.min_crop_area, hidden=True)

    def fit(self, support: Support, options: Sequence[ProlipOptions]) -> Fitted:
        assert support.projection is not None, "Needs.hidden"
        features = hidden_of(support.images)
        return fit_projection(self.name, HiddenClassifier, features, support.projection, support, options)

    def for_classes(self, classifier: Classifier, raw_text: Tensor, scale: float) -> Classifier:
        return with_classes(classifier, raw_text, scale)


def hidden_of(images: Images) -> Tensor:
    """Features before the projection, which `Needs.hidden` asks for."""
    assert images.hidden is not None, "Needs.hidden"
    return images.hidden
